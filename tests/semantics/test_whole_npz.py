"""Arrays of a damaged file are refused, also where numpy would not come to their checksum."""

import io
from zipfile import BadZipFile

import numpy as np
import pytest

from ffdwv_fast.semantics.whole_npz import read_npz

ARRAYS = {"a": np.arange(20, dtype=np.float32).reshape(5, 4), "b": np.array(["x", "yz"])}


@pytest.fixture
def write(tmp_path):
    def to_file(content: bytes):
        (tmp_path / "a.npz").write_bytes(content)
        return tmp_path / "a.npz"

    return to_file


@pytest.fixture(params=[np.savez, np.savez_compressed], ids=["stored", "deflated"])
def content(request) -> bytes:
    stream = io.BytesIO()
    request.param(stream, **ARRAYS)
    return stream.getvalue()


def test_whole_arrays_are_read(write, content):
    found = read_npz(write(content))
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array, strict=True)


def test_a_change_of_any_byte_is_refused_or_without_effect(write, content):
    refused = 0
    for at in range(len(content)):
        damaged = bytearray(content)
        damaged[at] ^= 1
        try:
            found = read_npz(write(damaged))
        except Exception:
            refused += 1
            continue
        for name in found.keys() & ARRAYS.keys():
            np.testing.assert_array_equal(found[name], ARRAYS[name], strict=True)
    assert refused > len(content) / 2


@pytest.mark.parametrize(
    ("header", "other"), [(b"(500, 40)", b"(400, 40)"), (b"<f4", b"<f2"), (b"<U9", b"<U8")]
)
def test_a_header_that_asks_for_less_is_refused(write, header, other):
    stream = io.BytesIO()
    # Large ones: Python checks what it reads in one go.
    numbers = np.arange(20000, dtype=np.float32).reshape(500, 40)
    np.savez(stream, numbers=numbers, words=np.array([f"word {n:04}" for n in range(500)]))
    content = stream.getvalue()
    assert content.count(header) == 1
    with pytest.raises(BadZipFile, match="CRC"):
        read_npz(write(content.replace(header, other)))


def test_a_pickle_is_refused(write):
    stream = io.BytesIO()
    np.savez(stream, a=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="pickle"):
        read_npz(write(stream.getvalue()))
