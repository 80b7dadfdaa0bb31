"""Vectors from a ``.npy`` array: the rows' values under the right names, or one line of refusal."""

import gzip
import os
import struct
from pathlib import Path

import numpy as np
import pytest

from ffdwv_fast import similarity
from ffdwv_fast.errors import InputError
from ffdwv_fast.semantics.class_vectors import class_vectors
from ffdwv_fast.semantics.vector_files import read_word_vectors

NAMES = ["cat", "dog", "sea_horse"]
# Numbers that float16 has too.
ROWS = [[0.5, 2.0, -3.5], [0.25, 1.5, -3.0], [1.0, 1.5, 2.5]]


@pytest.fixture
def array(tmp_path) -> Path:
    """A row for each of NAMES, without names of its own."""
    np.save(tmp_path / "classes.npy", np.array(ROWS, np.float32))
    return tmp_path / "classes.npy"


def name_rows(array: Path, *names: str, **options) -> None:
    array.with_suffix(".txt").write_text("".join(f"{name}\n" for name in names), **options)


@pytest.mark.parametrize("dtype", ["<f2", ">f2", "<f4", ">f4", "<f8", ">f8"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
def test_the_rows_are_the_classes_in_their_order(tmp_path, dtype, order, version):
    with open(tmp_path / "a.npy", "wb") as stream:
        np.lib.format.write_array(stream, np.array(ROWS, dtype, order=order), version)
    found = class_vectors(NAMES, tmp_path / "a.npy")
    assert found.numpy().dtype == np.float32
    assert found.tolist() == ROWS


def test_names_beside_go_before_the_order(array):
    name_rows(array, "dog", "horse", "cat")
    assert class_vectors(["cat", "dog"], array).tolist() == [ROWS[2], ROWS[0]]


def test_named_rows_are_words_as_those_of_any_file(array):
    name_rows(array, "sea", "horse", "a photo of a dog")
    found = class_vectors(["sea_horse", "dog"], array, aliases={"dog": "a photo of a dog"})
    assert found.tolist() == [[0.375, 1.75, -3.25], ROWS[2]]


@pytest.mark.parametrize(
    "text", ["cat\r\ndog\r\nsea_horse", "\ufeffcat\ndog\nsea_horse\n", " cat\ndog \nsea_horse"]
)
def test_how_lines_end_and_files_begin_does_not_matter(array, text):
    array.with_suffix(".txt").write_bytes(text.encode())
    assert class_vectors(NAMES, array).tolist() == ROWS


def test_a_name_that_is_not_ascii(array):
    name_rows(array, "Müßiggang", "dog", "cat", encoding="utf-8")
    assert class_vectors(["Müßiggang"], array).tolist() == [ROWS[0]]


def test_other_names_beside_the_same_array_are_seen_at_once(array, cache_folder):
    name_rows(array, "cat", "dog", "ray")
    before = class_vectors(["cat", "dog"], array)
    stat = array.with_suffix(".txt").stat()
    name_rows(array, "dog", "cat", "ray")
    os.utime(array.with_suffix(".txt"), ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert class_vectors(["dog", "cat"], array).tolist() == before.tolist()
    assert not cache_folder.exists()


def test_the_command_makes_the_cosine_similarity_of_the_rows(tmp_path):
    rows = np.random.default_rng(0).normal(size=(3, 64))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    np.save(tmp_path / "clip.npy", rows.astype(np.float16))
    source, saved = str(tmp_path / "clip.npy"), str(tmp_path / "s.npz")
    options = ("--metric", "cosine", "--temperature", "0.5", "--save", saved)
    similarity.main(["--classes", ",".join(NAMES), "--word-vectors", source, *options])
    scores = np.exp((rows @ rows.T - 1) / 0.5)
    with np.load(saved) as found:
        expected = scores / scores.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(found["similarity"], expected, atol=2e-4)  # float16's rounding
        assert found["class_names"].tolist() == NAMES


def test_values_that_are_not_finite_are_refused_where_they_are_needed(tmp_path):
    np.save(tmp_path / "a.npy", [[1.0, 2.0], [np.nan, 0.0], [1e39, 0.0]])
    name_rows(tmp_path / "a.npy", "cat", "dog", "ship")
    assert class_vectors(["cat"], tmp_path / "a.npy").tolist() == [[1, 2]]
    for name in ("dog", "ship"):
        with pytest.raises(InputError, match=f"vector of '{name}' .* not finite"):
            class_vectors(["cat", name], tmp_path / "a.npy")


class _Trap:
    def __init__(self, folder: Path):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def test_a_pickle_in_an_array_is_not_opened(tmp_path):
    objects = np.array([[_Trap(tmp_path / "sprung")] * 2] * 3, dtype=object)
    np.save(tmp_path / "a.npy", objects, allow_pickle=True)
    for allow_pickle in (False, True):
        with pytest.raises(InputError, match="Python objects, a pickle: refused"):
            class_vectors(NAMES, tmp_path / "a.npy", allow_pickle=allow_pickle)
    assert not (tmp_path / "sprung").exists()


OTHER_ARRAYS = {
    "one dimension": (np.zeros(3), r"has shape \[3\]: expected \[rows, D\]"),
    "three dimensions": (np.zeros((3, 1, 4)), r"has shape \[3, 1, 4\]"),
    "no rows": (np.zeros((0, 4)), r"has shape \[0, 4\]"),
    "no columns": (np.zeros((3, 0)), r"has shape \[3, 0\]"),
    "integers": (np.eye(3, dtype=np.int64), "holds int64: expected float16, float32, float64"),
    "bits": (np.eye(3, dtype=bool), "holds bool"),
    "complex numbers": (np.eye(3, dtype=complex), "holds complex128"),
    "text": (np.array([["cat"], ["dog"], ["ray"]]), "holds <U3"),
    "fields": (np.zeros((3, 2), [("x", "f4")]), "expected float16"),
    "too few rows": (np.eye(2), "has 2 rows for 3 classes: give a row for each class"),
    "too many rows": (np.eye(4), r"has 4 rows for 3 classes.*name the rows in .*a\.txt"),
    "rows alike": (np.ones((3, 2)), "classes 'cat' and 'dog' have the same vector"),
}


@pytest.mark.parametrize("case", OTHER_ARRAYS)
def test_another_array_is_refused_in_one_line(case, tmp_path):
    table, message = OTHER_ARRAYS[case]
    np.save(tmp_path / "a.npy", table)
    refused(message, tmp_path / "a.npy")


def refused(message: str, path: Path) -> None:
    with pytest.raises(InputError, match=message) as caught:
        class_vectors(NAMES, path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def with_header(text: str, version: bytes = b"\1\0") -> bytes:
    """An array of 3 x 3 float32 numbers whose header says something else."""
    line = text.encode() + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H", len(line)) + line + bytes(36)


GOOD = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 3)}"
DAMAGED = {
    "cut in the magic": (b"\x93NUMPY", "cannot be read"),
    "cut in the header": (with_header(GOOD)[:40], "cannot be read"),
    "cut in the numbers": (with_header(GOOD)[:-1], "has 103 bytes .* promises 104: it is cut off"),
    "bytes after the numbers": (with_header(GOOD) + b"x", "has 105 bytes .* promises 104"),
    "more rows than there are": (with_header(GOOD.replace("(3", "(9")), "cut off"),
    "a billion rows": (with_header(GOOD.replace("(3", "(10**9")), "cannot be read"),
    "an absurd number of rows": (with_header(GOOD.replace("(3", f"({2**70}")), "cut off"),
    "negative sizes": (with_header(GOOD.replace("(3, 3", "(-3, -3")), r"shape \[-3, -3\]"),
    "a header that is code": (with_header("__import__('os').abort()"), "cannot be read"),
    "a header of another dictionary": (with_header("{'shape': (3, 3)}"), "cannot be read"),
    "an unknown kind of number": (with_header(GOOD.replace("<f4", "<q9")), "cannot be read"),
    "an unknown version": (with_header(GOOD, b"\x09\0"), r"format 9\.0"),
    "the version of fields": (
        b"\x93NUMPY\3\0" + struct.pack("<I", len(GOOD)) + GOOD.encode() + bytes(36),
        r"format 3\.0",
    ),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damage_is_refused_in_one_line(case, tmp_path):
    content, message = DAMAGED[case]
    (tmp_path / "a.npy").write_bytes(content)
    refused(message, tmp_path / "a.npy")


def test_the_header_of_these_tests_is_a_good_one(tmp_path):
    (tmp_path / "a.npy").write_bytes(with_header(GOOD))
    assert read_word_vectors(tmp_path / "a.npy", {"cat"}, False, NAMES)["cat"].tolist() == [0, 0, 0]


NAMES_BESIDE = {
    "too few": (b"cat\ndog\n", "has 2 lines for the 3 rows of a.npy"),
    "too many": (b"cat\ndog\nsea_horse\nray\n", "has 4 lines for the 3 rows of a.npy"),
    "an empty line": (b"cat\n\nsea_horse\n", "line 2 is empty"),
    "a name twice": (b"cat\ndog\ncat\n", "names 'cat' more than once"),
    "no text": (b"\xff\xfe\0\n\n\n", "which names the rows of a.npy, cannot be read"),
}


@pytest.mark.parametrize("case", NAMES_BESIDE)
def test_names_that_do_not_fit_the_rows_are_refused_in_one_line(case, tmp_path):
    content, message = NAMES_BESIDE[case]
    np.save(tmp_path / "a.npy", ROWS)
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        class_vectors(NAMES, tmp_path / "a.npy")
    assert str(tmp_path / "a.txt") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_class_whose_name_is_not_beside_is_refused(array):
    name_rows(array, "cat", "dog", "ray")
    with pytest.raises(InputError, match="no vector for 1 of 3 class names: sea_horse"):
        class_vectors(NAMES, array)


def test_where_nobody_names_the_rows_that_is_said(array):
    with pytest.raises(InputError, match=r"array without names: name the rows in .*classes\.txt"):
        read_word_vectors(array, NAMES)


def test_another_suffix_is_refused(array):
    array.rename(array.with_suffix(".txt"))
    with pytest.raises(InputError, match=r"its name ends in \.npy"):
        class_vectors(NAMES, array.with_suffix(".txt"))


def test_a_compressed_array_is_refused(array):
    packed = array.with_suffix(".npy.gz")
    packed.write_bytes(gzip.compress(array.read_bytes()))
    with pytest.raises(InputError, match="compressed array: unpack it first"):
        class_vectors(NAMES, packed)
