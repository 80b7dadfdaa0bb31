"""A vector file is read once; whatever happens to the cache, the vectors are right."""

import builtins
import io
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import vector_writers as writers

from ffdwv_fast.semantics import class_vectors
from tests.little_disk import little_disk

NAMES = ["cat", "dog"]
EXPECTED = np.array([writers.VECTORS[name] for name in NAMES], np.float32)


@pytest.fixture
def vector_file(tmp_path):
    path = tmp_path / "words.bin"
    path.write_bytes(writers.binary())
    return path


@pytest.fixture
def opened(vector_file, monkeypatch):
    """The files opened from here on, in order, by whatever way Python opens files."""
    names = []
    for module in (builtins, io):
        true_open = module.open

        def counting(file, *args, _true_open=true_open, **kwargs):
            names.append(str(file))
            return _true_open(file, *args, **kwargs)

        monkeypatch.setattr(module, "open", counting)
    return names


def entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def test_the_second_read_does_not_open_the_vector_file(vector_file, opened):
    first = class_vectors(NAMES, vector_file)
    assert opened.count(str(vector_file)) > 0
    opened.clear()
    second = class_vectors(NAMES, vector_file)
    assert str(vector_file) not in opened
    np.testing.assert_array_equal(first, EXPECTED)
    np.testing.assert_array_equal(second, EXPECTED)


def test_the_second_read_works_where_the_vector_file_cannot_be_read(vector_file, monkeypatch):
    class_vectors(NAMES, vector_file)
    monkeypatch.setattr("ffdwv_fast.semantics.vector_files._read", None)
    np.testing.assert_array_equal(class_vectors(NAMES, vector_file), EXPECTED)


def test_another_way_to_write_the_path_finds_the_same_entry(vector_file, cache_folder, monkeypatch):
    class_vectors(NAMES, vector_file)
    monkeypatch.chdir(vector_file.parent)
    class_vectors(NAMES, vector_file.name)
    assert len(entries(cache_folder)) == 1


def test_a_changed_file_is_read_again(vector_file):
    class_vectors(NAMES, vector_file)
    vector_file.write_bytes(writers.binary({**writers.VECTORS, "cat": [9, 9, 9]}))
    os.utime(vector_file, ns=(1, 1))  # the size is the same, only the time tells
    assert class_vectors(NAMES, vector_file)[0].tolist() == [9, 9, 9]


def test_a_changed_array_beside_a_native_file_is_read_again(tmp_path):
    path = tmp_path / "a.kv"
    writers.WRITERS["native_mapped.kv"](path)
    class_vectors(NAMES, path, allow_pickle=True)
    array = np.load(f"{path}.vectors.npy")
    np.save(f"{path}.vectors.npy", array + 1)
    os.utime(f"{path}.vectors.npy", ns=(1, 1))
    np.testing.assert_array_equal(class_vectors(NAMES, path, allow_pickle=True), EXPECTED + 1)


def test_names_order_and_aliases_have_entries_of_their_own(vector_file, cache_folder):
    class_vectors(["cat", "dog"], vector_file)
    assert class_vectors(["dog", "cat"], vector_file).tolist() == EXPECTED[::-1].tolist()
    aliased = class_vectors(["cat", "dog"], vector_file, aliases={"cat": "sea"})
    assert aliased[0].tolist() == writers.VECTORS["sea"]
    assert len(entries(cache_folder)) == 3


@pytest.mark.parametrize("damage", ["empty", "cut", "noise", "flipped", "another key", "pickle"])
def test_a_damaged_entry_is_ignored_and_rewritten(damage, vector_file, cache_folder):
    class_vectors(NAMES, vector_file)
    [entry] = entries(cache_folder)
    whole = entry.read_bytes()
    if damage == "another key":
        np.savez(entry, key=np.array("other"), vectors=EXPECTED + 1)
    elif damage == "pickle":
        np.savez(entry, key=np.array("other"), vectors=np.array([{}], dtype=object))
    else:
        at = whole.index(EXPECTED.tobytes())
        flipped = whole[:at] + b"\xff" + whole[at + 1 :]
        content = {"empty": b"", "cut": whole[:-30], "noise": b"x" * 500, "flipped": flipped}
        entry.write_bytes(content[damage])
    np.testing.assert_array_equal(class_vectors(NAMES, vector_file), EXPECTED)
    assert entries(cache_folder) == [entry]
    with np.load(entry) as content:
        np.testing.assert_array_equal(content["vectors"], EXPECTED)


def test_a_damaged_header_that_asks_for_fewer_numbers_is_noticed(vector_file, cache_folder):
    vectors = {name: np.arange(2000.0) + at for at, name in enumerate(NAMES)}
    vector_file.write_bytes(writers.text_without_header(vectors))
    class_vectors(NAMES, vector_file)
    [entry] = entries(cache_folder)
    whole = entry.read_bytes()
    assert whole.count(b"(2, 2000)") == 1
    entry.write_bytes(whole.replace(b"(2, 2000)", b"(2, 1000)"))
    np.testing.assert_array_equal(class_vectors(NAMES, vector_file), list(vectors.values()))


def test_the_argument_goes_before_the_environment(vector_file, cache_folder, tmp_path):
    class_vectors(NAMES, vector_file, cache_dir=tmp_path / "mine" / "deep")
    assert len(entries(tmp_path / "mine" / "deep")) == 1
    assert not cache_folder.exists()


def test_without_any_wish_the_users_cache_folder_is_taken(vector_file, tmp_path, monkeypatch):
    monkeypatch.delenv("FFDWV_CACHE_DIR")
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda name: str(tmp_path / "user" / name))
    class_vectors(NAMES, vector_file)
    assert len(entries(tmp_path / "user" / "ffdwv_fast")) == 1


def test_a_cache_that_cannot_be_written_warns_once_and_works(vector_file, tmp_path):
    (tmp_path / "a_file").write_text("in the way")
    with pytest.warns(UserWarning, match="FFDWV_CACHE_DIR") as caught:
        got = class_vectors(NAMES, vector_file, cache_dir=tmp_path / "a_file" / "cache")
    assert len(caught) == 1
    np.testing.assert_array_equal(got, EXPECTED)


def test_a_failed_write_leaves_nothing(vector_file, cache_folder, monkeypatch):
    def full(stream, **arrays):
        stream.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.warns(UserWarning, match="No space left"):
        np.testing.assert_array_equal(class_vectors(NAMES, vector_file), EXPECTED)
    assert entries(cache_folder) == []


@pytest.mark.parametrize("limit", [0, 100, 600])
def test_a_disk_that_is_full_costs_only_the_entry(limit, vector_file, cache_folder):
    class_vectors(["sea"], vector_file)
    before = {entry: entry.read_bytes() for entry in entries(cache_folder)}
    assert min(map(len, before.values())) > limit
    with pytest.warns(UserWarning, match="not cached.*File too large"), little_disk(limit):
        got = class_vectors(NAMES, vector_file)
    np.testing.assert_array_equal(got, EXPECTED)
    assert {entry: entry.read_bytes() for entry in entries(cache_folder)} == before


def test_failures_are_not_cached(vector_file, cache_folder):
    with pytest.raises(ValueError, match="wug"):
        class_vectors(["wug"], vector_file)
    assert not cache_folder.exists() or entries(cache_folder) == []


def test_the_bundled_source_is_not_cached(cache_folder):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        class_vectors(NAMES)
    assert not cache_folder.exists()
