"""The CIFAR reader: tiny files byte by byte, the complete sets where they are at hand."""

import numpy as np
import pytest

from ffdwv_fast.data import cifar
from ffdwv_fast.data.cifar import find_cifar, load_cifar, read_cifar
from ffdwv_fast.data.class_names import (
    CIFAR10_CLASSES,
    CIFAR100_CLASSES,
    CIFAR100_SUPERCLASSES,
)
from ffdwv_fast.errors import InputError
from tests.data.samples import TINY_RECORDS, expect_tiny, tiny_files, write_tiny


def test_every_pixel_and_label_is_where_the_layout_has_it(tiny, tmp_path):
    dataset = read_cifar(tiny, write_tiny(tiny, tmp_path))
    files, contents = cifar.CIFAR[tiny], tiny_files(tiny)
    size = len(files.label_limits) + 3072
    for part, names in ((dataset.train, files.train), (dataset.test, files.test)):
        data = b"".join(contents[name] for name in names)
        assert len(part) * size == len(data)
        for image in (0, 1, len(part) - 1):
            record = data[image * size : (image + 1) * size]
            pixels = record[len(files.label_limits) :]
            assert part.labels[image] == record[len(files.label_limits) - 1]
            for channel, row, column in [(0, 0, 0), (0, 0, 31), (1, 5, 7), (2, 31, 0), (2, 31, 31)]:
                expected = pixels[1024 * channel + 32 * row + column]
                assert part.images[image, row, column, channel] == expected


def test_data_set_says_what_it_is(tiny, tmp_path):
    dataset = read_cifar(tiny, write_tiny(tiny, tmp_path))
    assert dataset.name == tiny
    assert dataset.image_shape == (3, 32, 32)
    assert (dataset.padding, dataset.flip) == (4, True)
    expected = {"cifar10": CIFAR10_CLASSES, "cifar100": CIFAR100_CLASSES}
    assert dataset.class_names == expected[tiny]


def test_it_is_found_in_the_data_folder(tiny, tmp_path):
    folder = write_tiny(tiny, tmp_path)
    assert find_cifar(tiny, tmp_path) == folder
    assert find_cifar(tiny, str(tmp_path)) == folder


def test_it_is_found_where_the_data_folder_is_its_own(tiny, tmp_path):
    folder = write_tiny(tiny, tmp_path)
    assert find_cifar(tiny, folder) == folder
    assert len(load_cifar(tiny, folder).test) == TINY_RECORDS


@pytest.mark.parametrize("place", ["", "missing", "file"])
def test_it_is_not_found_elsewhere(tiny, tmp_path, place):
    (tmp_path / "file").write_bytes(b"")
    assert find_cifar(tiny, tmp_path / place) is None


def test_class_name_file_may_be_absent(tiny, tmp_path):
    folder = write_tiny(tiny, tmp_path)
    (folder / cifar.CIFAR[tiny].names_file).unlink()
    assert read_cifar(tiny, folder).name == tiny


@pytest.mark.parametrize("change", [-1, 1, 3073, 3074])
def test_a_file_of_the_wrong_size_is_an_input_error(tiny, tmp_path, change):
    folder = write_tiny(tiny, tmp_path)
    path = folder / cifar.CIFAR[tiny].test[0]
    content = path.read_bytes() + bytes(3074)
    size = len(content) - 3074 + change
    path.write_bytes(content[:size])
    with pytest.raises(InputError, match=rf"{path} has {size} bytes, expected 20 records of 307"):
        read_cifar(tiny, folder)


def test_an_empty_file_is_an_input_error(tiny, tmp_path):
    folder = write_tiny(tiny, tmp_path)
    path = folder / cifar.CIFAR[tiny].train[-1]
    path.write_bytes(b"")
    with pytest.raises(InputError, match=f"{path} has 0 bytes, expected 20 records"):
        read_cifar(tiny, folder)


def test_a_missing_file_is_an_input_error(tiny, tmp_path):
    folder = write_tiny(tiny, tmp_path)
    path = folder / cifar.CIFAR[tiny].train[-1]
    path.unlink()
    with pytest.raises(InputError, match=f"cannot read {path}: No such file"):
        load_cifar(tiny, tmp_path)


@pytest.mark.parametrize(
    ("name", "column", "limit"), [("cifar10", 0, 10), ("cifar100", 0, 20), ("cifar100", 1, 100)]
)
def test_a_label_byte_out_of_range_is_an_input_error(monkeypatch, tmp_path, name, column, limit):
    expect_tiny(monkeypatch, name)
    folder = write_tiny(name, tmp_path)
    path = folder / cifar.CIFAR[name].train[0]
    content = bytearray(path.read_bytes())
    record = 7
    content[record * (len(content) // TINY_RECORDS) + column] = limit
    path.write_bytes(content)
    message = f"{path} has the label byte {limit} in record 7 .*expected 0 to {limit - 1}"
    with pytest.raises(InputError, match=message):
        read_cifar(name, folder)


@pytest.mark.parametrize("change", ["another", "missing", "too many", "not text"])
def test_other_class_names_are_an_input_error(tiny, tmp_path, change):
    folder = write_tiny(tiny, tmp_path)
    path = folder / cifar.CIFAR[tiny].names_file
    names = list(cifar.CIFAR[tiny].class_names)
    changed = {
        "another": [*names[:3], "lynx", *names[4:]],
        "missing": names[:-1],
        "too many": [*names, "lynx"],
        "not text": ["\xff\xfe", *names[1:]],
    }[change]
    path.write_bytes("\n".join(changed).encode("latin-1"))
    line = {"another": 3, "missing": len(names) - 1, "too many": len(names), "not text": 0}[change]
    with pytest.raises(InputError, match=f"{path} has .* as name {line} .*expected"):
        read_cifar(tiny, folder)


@pytest.mark.parametrize("column", [0, -1], ids=["label", "pixel"])
@pytest.mark.parametrize("part", ["train", "test"])
def test_one_changed_bit_is_warned_of(tiny, tmp_path, part, column):
    folder = write_tiny(tiny, tmp_path)
    path = folder / getattr(cifar.CIFAR[tiny], part)[0]
    content = np.frombuffer(path.read_bytes(), np.uint8).reshape(TINY_RECORDS, -1).copy()
    content[3, column] ^= 1
    path.write_bytes(content)
    with pytest.warns(UserWarning, match=r"images or labels in .* are not those published"):
        read_cifar(tiny, folder)


def test_records_in_another_order_are_the_same_set(tiny, tmp_path):
    folder = write_tiny(tiny, tmp_path)
    files = cifar.CIFAR[tiny]
    before = read_cifar(tiny, folder).train
    contents = [(folder / name).read_bytes() for name in files.train]
    records = np.frombuffer(b"".join(contents), np.uint8).reshape(-1, files.record_bytes)[::-1]
    for name, some in zip(files.train, np.split(records, len(files.train)), strict=True):
        (folder / name).write_bytes(some.tobytes())
    after = read_cifar(tiny, folder).train
    assert np.array_equal(after.images, before.images[::-1])
    assert np.array_equal(after.labels, before.labels[::-1])


def test_errors_are_one_line_and_say_where_a_good_copy_is(tiny, tmp_path):
    folder = write_tiny(tiny, tmp_path)
    (folder / cifar.CIFAR[tiny].test[0]).write_bytes(b"")
    with pytest.raises(InputError) as caught:
        read_cifar(tiny, folder)
    assert "\n" not in str(caught.value)
    assert cifar.CIFAR[tiny].url in str(caught.value)


@pytest.fixture(scope="module", params=["cifar10", "cifar100"])
def complete(request, cifar_dir):
    return load_cifar(request.param, cifar_dir)


def test_complete_set_has_every_class_equally_often(complete):
    train, test = (50_000, 10_000)
    classes = len(complete.class_names)
    assert np.bincount(complete.train.labels).tolist() == [train // classes] * classes
    assert np.bincount(complete.test.labels).tolist() == [test // classes] * classes


def test_complete_set_has_the_published_mean_and_the_recorded_std(complete):
    pixels = complete.train.images.reshape(-1, 3)
    # Integer sums: float64 over 51 million pixels in another order would do as well, slower.
    histograms = np.stack([np.bincount(pixels[:, channel], minlength=256) for channel in range(3)])
    values = np.arange(256) / 255
    mean = histograms @ values / len(pixels)
    std = np.sqrt(histograms @ values**2 / len(pixels) - mean**2)
    assert complete.mean == pytest.approx(mean, abs=5.1e-6)
    assert complete.std == pytest.approx(std, abs=5.1e-6)


def test_complete_set_has_the_layout_constants_of_the_publisher(cifar_dir):
    for name in ("cifar10", "cifar100"):
        files = cifar.CIFAR[name]
        folder = find_cifar(name, cifar_dir)
        assert folder == cifar_dir / files.folder
        assert (folder / files.names_file).read_text().split() == list(files.class_names)


def test_superclasses_part_the_classes_into_twenty_fives():
    groups = CIFAR100_SUPERCLASSES.values()
    assert [len(group) for group in groups] == [5] * 20
    assert sorted(name for group in groups for name in group) == sorted(CIFAR100_CLASSES)
    assert list(CIFAR100_SUPERCLASSES) == sorted(CIFAR100_SUPERCLASSES)


def test_superclasses_are_a_part_of_the_data_set(tiny, tmp_path):
    dataset = read_cifar(tiny, write_tiny(tiny, tmp_path))
    if tiny == "cifar10":
        assert dataset.superclasses is None
        return
    (trees,) = {dataset.superclasses[CIFAR100_CLASSES.index(f"{t}_tree")] for t in ("oak", "palm")}
    assert list(CIFAR100_SUPERCLASSES)[trees] == "trees"


def test_superclasses_are_those_of_the_complete_sets_label_bytes(cifar_dir):
    files = cifar.CIFAR["cifar100"]
    records = np.fromfile(find_cifar("cifar100", cifar_dir) / "test.bin", dtype=np.uint8)
    superclass, label = records.reshape(-1, files.record_bytes)[:, :2].T
    assert np.array_equal(np.array(files.superclass_of)[label], superclass)
