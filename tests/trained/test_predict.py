"""python -m ffdwv_fast.predict: image files, and what the network sees in them."""

import json
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from ffdwv_fast import InputError, predict, resnet8
from ffdwv_fast.data.digits import load_digits
from ffdwv_fast.data.image_file import read_image

GREY, RGB = (1, 8, 8), (3, 8, 8)


def predicted(capsys, *argv):
    predict.main([*map(str, argv), "--device", "cpu", "--json"])
    return json.loads(capsys.readouterr().out)


def digit_files(folder, count):
    digits = load_digits().test
    paths = [folder / f"{i}.png" for i in range(count)]
    for path, image in zip(paths, digits.images, strict=False):
        Image.fromarray(image[..., 0]).save(path)
    return paths, digits.images[:count]


def reference(run, images):
    """Probabilities [N, 10], computed by other means."""
    network = resnet8(10, in_channels=1)
    network.load_state_dict(load_file(run / "model.safetensors"))
    pixels = (images.astype(np.float32) / 255 - 0.30543) / 0.37596
    with torch.no_grad():
        logits = network.eval()(torch.from_numpy(pixels).permute(0, 3, 1, 2)).double().numpy()
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


def test_the_five_likeliest_classes_with_their_probabilities(run, tmp_path, capsys):
    paths, images = digit_files(tmp_path, 70)  # more than are taken at once
    expected = reference(run, images)
    found = predicted(capsys, run, *paths)
    assert [one["image"] for one in found] == [str(path) for path in paths]
    names = load_digits().class_names
    for one, p in zip(found, expected, strict=True):
        best = np.argsort(-p)[:5]
        assert [each["class"] for each in one["predictions"]] == [names[i] for i in best]
        probabilities = [each["probability"] for each in one["predictions"]]
        assert probabilities == pytest.approx(p[best], rel=1e-4)


def test_more_classes_than_there_are_give_all_of_them(run, tmp_path, capsys):
    (one,) = predicted(capsys, run, *digit_files(tmp_path, 1)[0], "--top", "99")
    assert len(one["predictions"]) == 10
    assert sum(each["probability"] for each in one["predictions"]) == pytest.approx(1)


def test_the_lines_for_people_say_the_same(run, tmp_path, capsys):
    paths, images = digit_files(tmp_path, 1)
    predict.main([str(run), str(paths[0]), "--device", "cpu", "--top", "1"])
    p = reference(run, images)[0]
    name = load_digits().class_names[p.argmax()]
    assert capsys.readouterr().out == f"{paths[0]}\n  {100 * p.max():6.2f} %  {name}\n"


def test_images_that_cannot_be_read_are_named_and_skipped(run, tmp_path, capsys):
    (good,), _ = digit_files(tmp_path, 1)
    damaged, missing = tmp_path / "damaged.png", tmp_path / "missing.png"
    damaged.write_bytes(good.read_bytes()[:-30])
    with pytest.raises(SystemExit) as stopped:
        predicted(capsys, run, damaged, good, missing)
    assert stopped.value.code == 1
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert ["error" in one for one in found] == [True, False, True]
    assert found[1]["predictions"] == predicted(capsys, run, good)[0]["predictions"]
    lines = err.splitlines()
    assert lines[0].startswith(f"skipped: image {damaged}: cannot be read (")
    assert lines[1].startswith(f"skipped: image {missing}: cannot be read (No such file")


@pytest.mark.parametrize("size", [(64, 32), (32, 64), (8, 8), (3000, 16), (9, 31)])
def test_of_a_longer_side_the_middle_is_kept(tmp_path, size):
    width, height = size
    side = min(size)
    seen = side + 2 * (side // 8)  # the filter reaches half a new pixel beyond the edge
    pixels = np.full((height, width), 255, dtype=np.uint8)
    top, left = max(0, (height - seen) // 2), max(0, (width - seen) // 2)
    pixels[top : top + seen, left : left + seen] = 100
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert (read_image(tmp_path / "a.png", GREY) == 100).all()


def test_reducing_weighs_by_a_triangle_as_wide_as_two_new_pixels(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    old = (np.arange(32) + 0.5) / 4
    weights = np.maximum(0, 1 - abs(old - (np.arange(8) + 0.5)[:, None]))
    weights /= weights.sum(1, keepdims=True)
    expected = weights @ pixels @ weights.T
    found = read_image(tmp_path / "a.png", GREY)[..., 0]
    assert abs(found - expected).max() <= 1  # rounded after each direction


def constant(mode, colour, **info):
    image = Image.new(mode, (8, 8), colour)
    image.info.update(info)
    return image


@pytest.mark.parametrize(
    ("image", "suffix", "shape", "expected"),
    [
        (constant("RGB", (200, 100, 50)), "png", RGB, [200, 100, 50]),
        (constant("RGB", (200, 100, 50)), "png", GREY, [124]),  # 0.299, 0.587, 0.114
        (constant("L", 77), "png", RGB, [77, 77, 77]),
        (constant("RGB", (200, 100, 50)).quantize(4), "gif", RGB, [200, 100, 50]),
        (constant("RGBA", (200, 100, 50, 0)), "png", RGB, [0, 0, 0]),
        (constant("LA", (200, 255)), "png", GREY, [200]),
        (constant("1", 1), "png", GREY, [255]),
        (constant("I;16", 0x8123), "png", GREY, [0x81]),
        (constant("I;16", 0x8123), "tiff", RGB, [0x81, 0x81, 0x81]),
        (constant("RGB", (200, 100, 50)), "bmp", RGB, [200, 100, 50]),
    ],
    ids=lambda value: getattr(value, "mode", None),
)
def test_every_kind_of_pixel_becomes_what_the_network_sees(
    tmp_path, image, suffix, shape, expected
):
    path = tmp_path / f"a.{suffix}"
    image.save(path)
    found = read_image(path, shape)
    assert found.dtype == np.uint8
    assert np.array_equal(found, np.broadcast_to(np.uint8(expected), (8, 8, len(expected))))


def test_an_image_is_turned_as_its_exif_data_say(tmp_path):
    pixels = np.zeros((8, 8), dtype=np.uint8)
    pixels[0] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned to the right by 90 degrees
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_image(tmp_path / "a.png", GREY)[..., 0], np.rot90(pixels, -1))


def huge_png(path):
    """A valid file of 200 bytes that says it has 100,000 x 100,000 pixels."""

    def chunk(kind, body):
        code = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + code

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def test_what_would_fill_the_memory_or_has_no_range_is_refused(tmp_path):
    huge_png(tmp_path / "huge.png")
    Image.new("F", (8, 8), 0.5).save(tmp_path / "float.tiff")
    for name, expected in (("huge.png", "decompression bomb"), ("float.tiff", "32 bits")):
        with pytest.raises(InputError, match=expected):
            read_image(tmp_path / name, GREY)
