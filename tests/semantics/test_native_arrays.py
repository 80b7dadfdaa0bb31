"""A pickled array whose arguments numpy would not check is refused before numpy sees it."""

import pickle

import numpy as np
import pytest
import vector_writers as writers

from ffdwv_fast.errors import InputError
from ffdwv_fast.semantics.vector_files import read_word_vectors


def refused(path, content: bytes, message: str) -> None:
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_word_vectors(path, ["cat"], allow_pickle=True)


def changed(path, old: bytes, new: bytes) -> bytes:
    writers.WRITERS["native_protocol_2.kv"](path)
    content = path.read_bytes()
    assert content.count(old) == 1
    return content.replace(old, new)


def test_a_type_that_is_not_copied_is_refused_and_stays_as_it_was(tmp_path):
    # Its state is set next: without the copy that of float32 itself, for the whole process.
    type_and_copy = b"X\x02\x00\x00\x00f4q\x1e\x89\x88\x87"
    content = changed(tmp_path / "a.kv", type_and_copy, type_and_copy.replace(b"\x88", b"\x89"))
    refused(tmp_path / "a.kv", content, "array type 'f4' without a copy is not needed")
    assert np.dtype("f4").flags == 0


def test_a_type_with_flags_is_refused(tmp_path):
    flags = b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t"
    content = changed(tmp_path / "a.kv", flags, flags.replace(b"K\x00", b"K\x3f"))
    refused(tmp_path / "a.kv", content, "array type with flags 63 is not needed")


class Call:
    """Pickles as a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    "call",
    [
        Call(np.ndarray, (1 << 20,), "O"),
        Call(np._core.multiarray._reconstruct, np.ndarray, (1 << 20,), "O"),
        Call(np._core.numeric._frombuffer, bytes(8), np.dtype("O"), (1,), "C"),
        Call(np._core.numeric._frombuffer, bytes(8), np.dtype("f4"), (3,), "C"),
        Call(np._core.multiarray.scalar, np.dtype("f4"), b""),
    ],
    ids=["unwritten", "reconstructed", "references", "short", "no number"],
)
def test_another_call_than_numpys_own_is_refused(call, tmp_path):
    vectors = writers.keyed_vectors()
    vectors.note = call
    refused(tmp_path / "a.kv", pickle.dumps(vectors), "is not needed")


def test_a_memo_index_that_would_fill_the_memory_is_refused(tmp_path):
    # LONG_BINPUT 0x7fffffff: 32 GB of zeros for the unpickler.
    content = b"\x80\x02}r\xff\xff\xff\x7f."
    refused(tmp_path / "a.kv", content, "its pickle counts to 2147483647 at once")


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", "i8", "u1", "b1", "O", ">f4"])
def test_every_plain_array_is_read(protocol, dtype, tmp_path):
    vectors = writers.keyed_vectors()
    note = np.array([[1, 0, 1], [0, 1, 1]]).astype(dtype)
    vectors.note = [note, note.T, np.float32(2)]
    (tmp_path / "a.kv").write_bytes(pickle.dumps(vectors, protocol))
    found = read_word_vectors(tmp_path / "a.kv", ["cat"], allow_pickle=True)
    np.testing.assert_array_equal(found["cat"], np.float32(writers.VECTORS["cat"]))
