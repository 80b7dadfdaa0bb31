"""A folder of images as a data set: pixels, statistics, and what cannot be read."""

import os
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from ffdwv_fast.data import folder as folder_module
from ffdwv_fast.data.folder import load_folder, pixel_statistics
from ffdwv_fast.data.image_file import read_image
from ffdwv_fast.data.reading import Reading
from ffdwv_fast.data.registry import class_names_of, load_dataset
from ffdwv_fast.errors import InputError
from tests.data.folders import write_classes, write_image

SIDE = 8
READING = Reading(image_size=SIDE, decoder="pillow")


@pytest.fixture
def two_classes(tmp_path):
    """train/ with 240 and val/ with 60 images; no two are alike."""
    write_classes(tmp_path / "train", {"dog": 130, "cat": 110})
    write_classes(tmp_path / "val", {"dog": 20, "cat": 40}, seed=1000)
    return tmp_path


def refusal(folder, reading=READING) -> str:
    with pytest.raises(InputError) as error:
        load_folder(folder, reading)
    message = str(error.value)
    assert "\n" not in message
    return message


def test_images_and_labels_are_those_of_the_files(two_classes):
    dataset = load_dataset("folder", two_classes, READING)
    assert dataset.name == "folder"
    assert class_names_of("folder", two_classes) == dataset.class_names == ("cat", "dog")
    assert dataset.image_shape == (3, SIDE, SIDE)
    for part, images in (("train", dataset.train), ("val", dataset.test)):
        paths = sorted((two_classes / part).glob("*/*"))
        assert images.labels.tolist() == [int(path.parent.name == "dog") for path in paths]
        for path, image in zip(paths, images.images, strict=True):
            np.testing.assert_array_equal(image, read_image(path, (3, SIDE, SIDE)))


def test_mean_and_std_are_of_the_training_images(two_classes):
    dataset = load_folder(two_classes, READING)
    pixels = dataset.train.images.astype(np.float64).reshape(-1, 3) / 255
    np.testing.assert_allclose(dataset.mean, pixels.mean(0), atol=5.1e-6)
    np.testing.assert_allclose(dataset.std, pixels.std(0), atol=5.1e-6)


def test_statistics_of_more_images_than_are_counted_at_once():
    images = np.random.default_rng(0).integers(0, 256, (2500, 2, 3, 2), dtype=np.uint8)
    images[..., 1] = 7  # a colour that never changes
    mean, std = pixel_statistics(images)
    np.testing.assert_allclose(mean, images.mean((0, 1, 2)) / 255, atol=5.1e-6)
    np.testing.assert_allclose(std, [images[..., 0].std() / 255, 1 / 255], atol=5.1e-6)


@pytest.mark.parametrize(("size", "padding"), [(8, 1), (32, 4), (64, 8), (1024, 127)])
def test_padding_is_an_eighth_of_the_size(tmp_path, size, padding):
    write_classes(tmp_path, {"cat": 2, "dog": 2})
    dataset = load_folder(tmp_path, Reading(image_size=size, decoder="pillow"))
    assert (dataset.padding, dataset.flip) == (padding, True)
    assert not load_folder(tmp_path, Reading(image_size=8, flip=False)).flip


@pytest.mark.parametrize("size", [7, 1025])
def test_an_image_size_out_of_range_is_refused(size):
    with pytest.raises(InputError, match=f"image size {size}: expected 8 to 1024 pixels"):
        Reading(image_size=size)


def test_test_images_alone_are_those_of_the_whole(two_classes):
    whole = load_folder(two_classes, READING)
    normalisation = ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    reading = Reading(SIDE, decoder="pillow", normalisation=normalisation, test_only=True)
    part = load_folder(two_classes, reading)
    assert len(part.train) == 0
    assert part.image_shape == whole.image_shape
    np.testing.assert_array_equal(part.test.images, whole.test.images)
    assert (part.mean, part.std) == normalisation
    assert part.origin == whole.origin


def broken_files(folder) -> dict[str, str]:
    """Files that are no images, each of another kind, and what is said of them."""
    whole = write_image(folder / "whole.jpg", size=(40, 40)).read_bytes()
    (folder / "whole.jpg").unlink()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.png").touch()
    (folder / "text.webp").write_text("<html>")
    Image.new("RGB", (9, 9)).save(folder / "kind.jpg", "GIF")
    (folder / "gone.jpg").symlink_to("nowhere")
    (folder / "loop.jpg").symlink_to("loop.jpg")
    os.mkfifo(folder / "pipe.jpg")
    Image.new("1", (9500, 9500)).save(folder / "bomb.png")
    return {
        "cut.jpg": "truncated",
        "empty.png": "it is empty",
        "text.webp": "cannot identify",
        "kind.jpg": "cannot identify",
        "gone.jpg": "No such file",
        "loop.jpg": "symbolic links",
        "pipe.jpg": "not a file",
        "bomb.png": "9500 x 9500 pixels, more than 89,478,485",
    }


def test_what_cannot_be_read_is_named_and_left_out(tmp_path, monkeypatch, capsys):
    write_classes(tmp_path / "train", {"cat": 10, "dog": 10})
    write_classes(tmp_path / "val", {"cat": 3, "dog": 3}, seed=100)
    whole = load_folder(tmp_path, READING)
    expected = broken_files(tmp_path / "train" / "dog")
    shutil.copy(tmp_path / "train/dog/cut.jpg", tmp_path / "val/cat/cut.jpg")
    monkeypatch.setattr(folder_module, "MOST_FAILURES", 0.5)
    capsys.readouterr()
    dataset = load_folder(tmp_path, READING)
    for name in ("train", "test"):
        got, wanted = getattr(dataset, name), getattr(whole, name)
        np.testing.assert_array_equal(got.images, wanted.images)
        np.testing.assert_array_equal(got.labels, wanted.labels)
    assert dataset.origin.skipped == len(expected) + 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == len(expected) + 1
    for name, reason in expected.items():
        (line,) = [line for line in lines if f"train/dog/{name}: cannot be read (" in line]
        assert line.startswith("skipped: image ")
        assert reason in line


@pytest.mark.parametrize(("broken", "refused"), [(3, False), (4, True)])
def test_more_than_one_in_a_hundred_is_refused_with_the_first_few(two_classes, broken, refused):
    for number in range(broken):
        (two_classes / "train" / "cat" / f"{number}.png").write_bytes(b"")
    if not refused:
        assert load_folder(two_classes, READING).origin.skipped == broken
        return
    message = refusal(two_classes)
    assert "4 of 300 images cannot be read, more than 1%" in message
    assert message.count("it is empty") == 4


def test_a_class_of_which_no_image_can_be_read_is_named(two_classes):
    for name in ("train", "val"):
        write_classes(two_classes / name, {"fox": 1})
    (two_classes / "val" / "fox" / "0.png").write_bytes(b"")
    assert "no image of class 'fox' can be read" in refusal(two_classes)


def test_images_that_do_not_fit_into_memory_are_refused_before_they_are_read(
    two_classes, monkeypatch
):
    needed = 2 * 300 * 1024 * 1024 * 3
    monkeypatch.setattr(folder_module, "available_memory", lambda: needed - 1)
    monkeypatch.setattr(folder_module, "decode_images", None)
    message = refusal(two_classes, Reading(image_size=1024))
    assert "300 images of 1024 x 1024 pixels need 1.9 GB of memory" in message
    assert "use a smaller --image-size, or fewer images" in message


def test_the_folder_is_described_unless_asked_to_be_quiet(two_classes, capsys):
    load_folder(two_classes, READING)
    described = f"{two_classes}: 2 classes, 240 images to train on, 60 to evaluate on (in val/)\n"
    first, last = capsys.readouterr().out.splitlines(keepends=True)
    assert first == described
    assert re.fullmatch(r"300 images read in \d+\.\d s\n", last)
    load_folder(two_classes, Reading(SIDE, decoder="pillow", quiet=True))
    assert capsys.readouterr().out == ""
