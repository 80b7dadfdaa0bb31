"""Every vector format is read with the values that were written; damage is refused in one line."""

import gzip
import os
import re
import struct
from pathlib import Path

import numpy as np
import pytest
import vector_writers as writers

from ffdwv_fast.errors import InputError
from ffdwv_fast.semantics.class_vectors import class_vectors
from ffdwv_fast.semantics.vector_files import _load_native, read_word_vectors


def write(path, content: bytes):
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", writers.WRITERS)
def test_every_format_gives_the_written_values(name, tmp_path):
    writers.WRITERS[name](tmp_path / name)
    found = read_word_vectors(
        tmp_path / name, [*writers.VECTORS, "absent"], allow_pickle=writers.is_pickle(name)
    )
    assert found.keys() == writers.VECTORS.keys()
    for word, expected in writers.VECTORS.items():
        assert found[word].dtype == np.float32
        np.testing.assert_array_equal(found[word], np.array(expected, np.float32))


@pytest.mark.parametrize("name", writers.WRITERS)
def test_every_format_resolves_names_in_the_same_order(name, tmp_path):
    writers.WRITERS[name](tmp_path / name)
    names = ["cat", "fire-truck", "sea_horse", "stray"]
    got = class_vectors(
        names,
        tmp_path / name,
        aliases={"stray": "dog"},
        allow_pickle=writers.is_pickle(name),
    )
    expected = [[0.1, 2.0, -3.5], [5.0, 5.0, 5.0], [1.0, 1.5, 2.5], [0.25, 1.5, -3.0]]
    np.testing.assert_array_equal(got.numpy(), np.array(expected, np.float32))


GENSIM_FILES = [
    "crime-and-punishment.bin",
    "crime-and-punishment.vec",
    "euclidean_vectors.bin",
    "high_precision.kv.bin",
    "high_precision.kv.txt",
    "lee_fasttext.bin",  # fastText of 2016, without a magic number
    "lee_fasttext_new.bin",
    "lee_fasttext.vec",
    "old_keyedvectors_320.dat",
    "test_glove.txt",
    "word2vec_pre_kv_c",
]


def _loaded_by_gensim(path: str, name: str):
    from gensim.models import KeyedVectors
    from gensim.models.fasttext import load_facebook_vectors

    if name.startswith("old_keyedvectors"):
        return KeyedVectors.load(path)
    if name in ("crime-and-punishment.bin", "lee_fasttext.bin", "lee_fasttext_new.bin"):
        return load_facebook_vectors(path)
    return KeyedVectors.load_word2vec_format(
        path, binary=name.endswith(".bin"), no_header=name == "test_glove.txt"
    )


@pytest.mark.parametrize("name", GENSIM_FILES)
def test_files_of_gensims_own_tests_read_as_gensim_reads_them(name):
    from gensim.test.utils import datapath

    path = datapath(name)
    if not os.path.isfile(path):
        pytest.skip(f"this gensim does not come with {name}")
    expected = _loaded_by_gensim(path, name)
    words = list(expected.key_to_index)
    found = read_word_vectors(Path(path), words, allow_pickle=name.startswith("old_keyed"))
    assert len(found) == len(words) > 0
    for word in words:
        np.testing.assert_array_equal(found[word], expected[word])


def test_an_array_beside_a_native_file_is_mapped_and_not_read_whole(tmp_path):
    writers.WRITERS["native_mapped.kv"](tmp_path / "a.kv")
    assert (tmp_path / "a.kv.vectors.npy").is_file()
    assert isinstance(_load_native(tmp_path / "a.kv", "").vectors, np.memmap)


def test_fasttext_vectors_include_the_n_grams(tmp_path):
    from gensim.models.fasttext import FastText, save_facebook_model

    model = FastText([["cat", "dog", "ship"]] * 5, vector_size=4, min_count=1, bucket=50, seed=1)
    save_facebook_model(model, str(tmp_path / "model.bin"))
    found = read_word_vectors(tmp_path / "model.bin", ["cat", "catt"])
    assert found.keys() == {"cat"}  # "catt" has n-grams in common, but is no word of the model
    np.testing.assert_allclose(found["cat"], model.wv["cat"], rtol=1e-6)


def test_of_two_equal_words_the_first_counts(tmp_path):
    path = write(tmp_path / "a.txt", b"2 3\ncat 1 2 3\ncat 4 5 6\n")
    np.testing.assert_array_equal(read_word_vectors(path, ["cat"])["cat"], [1, 2, 3])


def test_words_with_spaces_are_passed_over(tmp_path):
    path = write(tmp_path / "glove840.txt", b"cat 1 2 3\n. . . 4 5 6\nat a@b.c 7 8 9\ndog 3 2 1\n")
    found = read_word_vectors(path, ["cat", "dog", "."])
    assert found.keys() == {"cat", "dog"}
    np.testing.assert_array_equal(found["dog"], [3, 2, 1])


def test_words_that_are_no_utf8_do_not_matter(tmp_path):
    path = write(tmp_path / "a.vec", b"2 3\n\x97 1 2 3\ncat 4 5 6\n")
    np.testing.assert_array_equal(read_word_vectors(path, ["cat"])["cat"], [4, 5, 6])


def test_a_binary_file_longer_than_a_chunk_keeps_its_last_word(tmp_path, monkeypatch):
    monkeypatch.setattr("ffdwv_fast.semantics.byte_reader._CHUNK", 7)
    path = write(tmp_path / "a.bin", writers.binary())
    np.testing.assert_array_equal(read_word_vectors(path, ["müßig"])["müßig"], [7, 7.5, -7])


BINARY, TEXT, HEADLESS = writers.binary(), writers.text_with_header(), writers.text_without_header()
FASTTEXT = writers.fasttext_bin()
LINES = writers.text_lines().encode()
DAMAGED = {
    "empty": (b"", "is empty"),
    "blank": (b" \n\n", "is empty"),
    "binary cut in a vector": (BINARY[:-5], "cut off"),
    "binary cut at a word": (BINARY[: -12 - 4], "cut off"),
    "binary cut after the header": (b"8 3\n\0", "cut off"),
    "binary header promises more": (b"9" + BINARY[1:], "cut off"),
    "binary header promises less": (b"7" + BINARY[1:], "promises 7 vectors .* more bytes follow"),
    "binary header of another width": (b"8 2" + BINARY[3:], "promises 8 vectors of width 2"),
    "binary header of absurd width": (b"8 999999999999" + BINARY[3:], "width 999999999999"),
    "binary header of no width": (b"8 0" + BINARY[3:], "width 0"),
    "text header of no vectors": (b"0 3\n", "promises 0 vectors"),
    "text header alone": (b"8 3\n", "promises 8 vectors .* 0 follow"),
    "text header promises more": (b"9 3\n" + LINES, "promises 9 vectors .* 8 follow"),
    "text header promises less": (b"7 3\n" + LINES, "promises 7 vectors .* 8 follow"),
    "text header of another width": (b"8 4\n" + LINES, "line 2 holds 3 numbers where 4"),
    "text cut in a number": (TEXT[:-3], "no line end"),
    "text cut in a line": (TEXT[: TEXT.rindex(b" ")] + b"\n", "line 9 holds 2 numbers where 3"),
    "text cut between lines": (TEXT[: TEXT[:-1].rindex(b"\n") + 1], "promises 8 .* 7 follow"),
    "GloVe cut in a number": (HEADLESS[:-3], "no line end"),
    "GloVe with a short line": (b"cat 1 2 3\ndog 4 5\n", "line 2 holds 2 numbers where 3"),
    "GloVe with a single number": (b"cat 1 2 3\ndog 4\n", "line 2 holds 1 numbers where 3"),
    "GloVe with a long line": (b"cat 1 2 3\ndog 4 5 6 7\n", "line 2 holds 4 numbers where 3"),
    "GloVe with a blank line": (b"cat 1 2 3\n\ndog 4 5 6\n", "line 2 is empty"),
    "a number that is none": (b"cat 1 2 3\ndog 4 5 x\n", "cannot be read"),
    "prose": (b"Call me Ishmael.\nSome years ago\n", "no word-vector file"),
    "a CSV table": (b"word,x,y\ncat,1,2\n", "no word-vector file"),
    "random bytes": (np.random.default_rng(0).bytes(5000), "no word-vector file"),
    "a zip archive": (b"PK\x03\x04" + bytes(100), "unpack it"),
    "fastText cut in the header": (FASTTEXT[:30], "cut off"),
    "fastText cut in the vocabulary": (FASTTEXT[:110], "cut off"),
    "fastText cut in the vectors": (FASTTEXT[: -(17 + 96) - 10], "cut off"),
    "fastText supervised": (writers.fasttext_bin(labels=2), "supervised"),
    "fastText quantised": (writers.fasttext_bin(quantised=True), "quantised"),
    "gzip cut off": (gzip.compress(BINARY)[:-20], "cut off"),
    "gzip damaged": (gzip.compress(BINARY)[:40] + b"\0" * 60, "cannot be read"),
    "a pickle cut off": (b"\x80\x04\x95\x10", "cannot be read"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damage_is_refused_in_one_line(case, tmp_path):
    content, message = DAMAGED[case]
    path = write(tmp_path / "vectors.bin", content)
    with pytest.raises(InputError, match=message) as caught:
        read_word_vectors(path, list(writers.VECTORS), allow_pickle=True)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kept", range(0, len(BINARY), 5))
def test_a_binary_file_cut_anywhere_is_refused(kept, tmp_path):
    path = write(tmp_path / "a.bin", BINARY[:kept])
    with pytest.raises(InputError):
        read_word_vectors(path, ["cat"])


@pytest.mark.parametrize("kept", range(0, len(FASTTEXT) - (17 + 96), 9))
def test_a_fasttext_file_cut_anywhere_before_its_output_layer_is_refused(kept, tmp_path):
    path = write(tmp_path / "a.bin", FASTTEXT[:kept])
    with pytest.raises(InputError):
        read_word_vectors(path, ["cat"])


def test_a_fasttext_file_whose_matrix_contradicts_its_width_is_refused(tmp_path):
    matrix = struct.pack("<?2q", False, len(writers.VECTORS), writers.WIDTH)
    wrong = struct.pack("<?2q", False, len(writers.VECTORS), writers.WIDTH + 1)
    path = write(tmp_path / "a.bin", FASTTEXT.replace(matrix, wrong, 1))
    with pytest.raises(InputError, match="contradicts itself"):
        read_word_vectors(path, ["cat"])


def test_a_compressed_fasttext_model_is_refused(tmp_path):
    path = write(tmp_path / "model.bin.gz", gzip.compress(FASTTEXT))
    with pytest.raises(InputError, match="unpack it first"):
        read_word_vectors(path, ["cat"])


@pytest.mark.parametrize(
    ("saved", "renamed", "advice"),
    [("a.kv.gz", "a.kv", "ends in .gz"), ("a.kv", "a.kv.gz", "does not end in .gz or .bz2")],
)
def test_a_native_file_whose_suffix_lies_about_compression_is_refused(
    saved, renamed, advice, tmp_path
):
    writers.keyed_vectors().save(str(tmp_path / saved))
    (tmp_path / saved).rename(tmp_path / renamed)
    with pytest.raises(InputError, match=re.escape(advice)):
        read_word_vectors(tmp_path / renamed, ["cat"], allow_pickle=True)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e39"])
def test_values_that_are_not_finite_are_refused_where_they_are_needed(value, tmp_path):
    path = write(tmp_path / "a.txt", f"2 3\ncat 1 {value} 3\ndog 4 5 6\n".encode())
    assert class_vectors(["dog"], path).tolist() == [[4, 5, 6]]
    with pytest.raises(InputError, match=r"vector of 'cat' \(class 'stray'\).*not finite"):
        class_vectors(["dog", "stray"], path, aliases={"stray": "cat"})


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="is a folder"):
        class_vectors(["cat"], tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "missing.bin",
        "missing/vectors",
        "~/no/such/vectors.txt",
        "~nobody/x",
        "",
        "x" * 5000 + ".bin",
    ],
)
def test_a_missing_file_is_refused_without_asking_the_network(name, monkeypatch):
    monkeypatch.setattr("socket.socket", None)
    with pytest.raises(InputError, match="there is no such file"):
        class_vectors(["cat"], name)


@pytest.mark.parametrize("source", [None, 5, b"words.bin", ["words.bin"]])
def test_a_source_that_is_no_path_is_refused(source):
    with pytest.raises(InputError, match="expected a file, a name or 'glove-6b-50d'"):
        class_vectors(["cat"], source)


def test_a_file_that_cannot_be_opened_is_refused(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("ffdwv_fast.semantics.vector_files._compression", refuse)
    path = write(tmp_path / "a.bin", BINARY)
    with pytest.raises(InputError, match="Permission denied"):
        class_vectors(["cat"], path)
