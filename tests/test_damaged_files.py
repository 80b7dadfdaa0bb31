"""Files that were cut off or changed: refused by an InputError, or read right.

The readers and what is right are those of tests/fuzz. A format with a checksum (the class-vector
cache, the bundled vectors, weights and checkpoints, compressed files, CIFAR's published sets) gives
what was written or is refused. One without gives what the file says now: that a number of a
word2vec file is another than it was, nobody could tell.
"""

import warnings
from itertools import chain, islice

import numpy as np
import pytest

from ffdwv_fast.data import cifar
from ffdwv_fast.data.cifar import read_cifar
from ffdwv_fast.errors import InputError
from ffdwv_fast.semantics import bundled
from ffdwv_fast.semantics.vector_files import read_word_vectors
from tests.data.samples import expect_tiny, write_tiny
from tests.fuzz.judge import judge
from tests.fuzz.registry import TARGETS
from tests.semantics.vector_writers import VECTORS, WRITERS

CUTS, CHANGES = 50, 500


def cut(content: bytes):
    """The content at random shorter lengths."""
    lengths = np.random.default_rng(len(content)).integers(0, len(content), CUTS)
    return [content[:length] for length in lengths]


def changed(content: bytes):
    """The content with one random byte of it changed."""
    rng = np.random.default_rng(len(content))
    for at, change in zip(
        rng.integers(0, len(content), CHANGES), rng.integers(1, 256, CHANGES), strict=True
    ):
        damaged = bytearray(content)
        damaged[at] ^= change
        yield bytes(damaged)


@pytest.mark.parametrize("name", TARGETS)
def test_every_reader_refuses_a_damaged_file_or_reads_it_right(name, tmp_path):
    target = TARGETS[name](tmp_path)
    for content in filter(None, target.seeds):
        for damaged in [*cut(content), *changed(content)]:
            judge(target, damaged)


@pytest.mark.parametrize("name", WRITERS)
def test_no_file_that_is_cut_off_gives_another_vector(name, tmp_path):
    path = tmp_path / name
    WRITERS[name](path)
    for content in cut(path.read_bytes()):
        path.write_bytes(content)
        try:
            found = read_word_vectors(path, VECTORS, allow_pickle=True)
        except InputError:
            continue
        for word, vector in found.items():
            assert np.array_equal(vector, np.array(VECTORS[word], np.float32))


def damage_is_noticed(folder) -> bool:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        try:
            read_cifar("cifar100", folder)
        except InputError:
            return True
    return any("not those published" in str(warning.message) for warning in seen)


def test_no_damage_to_cifar_goes_unnoticed(monkeypatch, tmp_path):
    expect_tiny(monkeypatch, "cifar100")
    folder = write_tiny("cifar100", tmp_path)
    for file in cifar.CIFAR["cifar100"].records:
        content = (folder / file).read_bytes()
        for damaged in [*cut(content), *changed(content)]:
            (folder / file).write_bytes(damaged)
            assert damage_is_noticed(folder)
        (folder / file).write_bytes(content)
    assert not damage_is_noticed(folder)


@pytest.mark.parametrize(
    ("file", "reader", "share"),
    [("CLASS_WORDS_FILE", "class_words", 1), ("COMMON_WORDS_FILE", "common_words", 5)],
    ids=["class words", "common words"],
)
def test_no_damage_to_the_bundled_vectors_goes_unnoticed(
    file, reader, share, monkeypatch, tmp_path
):
    read = getattr(bundled, reader).__wrapped__
    whole, content = read(), getattr(bundled, file).read_bytes()
    path = tmp_path / "vectors.npz"
    monkeypatch.setattr(bundled, file, path)
    refused = 0
    for damaged in islice(chain(cut(content), changed(content)), 0, None, share):
        path.write_bytes(damaged)
        try:
            found = read()
        except InputError:
            refused += 1
            continue
        assert found.keys() == whole.keys()
        assert all(np.array_equal(found[word], whole[word]) for word in whole)
    assert refused > CUTS / share
