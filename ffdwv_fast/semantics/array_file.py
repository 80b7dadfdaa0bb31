"""Vectors from a NumPy array file, such as a text encoder's embeddings of the class names.

An array has no words of its own. A text file beside it names its rows, ``classes.txt`` those of
``classes.npy`` with a line each; without one they are the classes in their order.
"""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ffdwv_fast.errors import InputError

SUFFIX = ".npy"

_DTYPES = ("float16", "float32", "float64")
# Version 3.0 is for the names of fields, which plain numbers do not have.
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read(path: Path, words: set[str], class_names: Sequence[str] | None) -> dict[str, np.ndarray]:
    """The vectors of those words that are the name of a row.

    Args:
        path: ``[rows, D]`` float16, float32 or float64, named ``.npy``.
        words: The words wanted.
        class_names: The names of the rows where no file beside gives them.

    Returns:
        Word -> ``[D]`` float32, without the words that name no row.

    Raises:
        InputError: For an array of another kind or length than its header says, and for names that
            are missing, given twice or not one for each row.
        ValueError: For a header that is damaged.
    """
    if path.suffix != SUFFIX:
        raise InputError(f"{path} is a NumPy array: rename it so that its name ends in {SUFFIX}")
    row_count = _checked_row_count(path)
    rows = {name: row for row, name in enumerate(_row_names(path, row_count, class_names))}
    table = np.load(path, mmap_mode="r", allow_pickle=False)
    with np.errstate(over="ignore"):  # what overflows is refused where it is needed
        return {word: np.array(table[rows[word]], np.float32) for word in words & rows.keys()}


def _checked_row_count(path: Path) -> int:
    """From the header, before any memory is set aside for what it promises."""
    with path.open("rb") as stream:
        version = np.lib.format.read_magic(stream)
        if version not in _HEADERS:
            raise InputError(
                f"{path} is an array of format {version[0]}.{version[1]}: expected 1.0 or 2.0, in "
                f"which numpy.save writes numbers"
            )
        shape, _, dtype = _HEADERS[version](stream)
        start = stream.tell()
    if dtype.hasobject:
        raise InputError(f"{path} holds Python objects, a pickle: refused; save an array of floats")
    if dtype.name not in _DTYPES:
        raise InputError(f"{path} holds {dtype}: expected {', '.join(_DTYPES)}; convert it first")
    if len(shape) != 2 or not all(size > 0 for size in shape):
        raise InputError(f"{path} has shape {list(shape)}: expected [rows, D], a row a class")
    promised, found = start + math.prod(shape) * dtype.itemsize, path.stat().st_size
    if promised != found:
        raise InputError(
            f"{path} has {found} bytes where its header promises {promised}: it is cut off or "
            f"damaged; get it again"
        )
    return shape[0]


def _row_names(path: Path, count: int, class_names: Sequence[str] | None) -> Sequence[str]:
    beside = path.with_suffix(".txt")
    if beside.is_file():
        return _names_beside(beside, path, count)
    how = f"name the rows in {beside}, a line each"
    if class_names is None:
        raise InputError(f"{path} is an array without names: {how}")
    if len(class_names) != count:
        raise InputError(
            f"{path} has {count} rows for {len(class_names)} classes: give a row for each class, "
            f"in the order of the classes, or {how}"
        )
    return class_names


def _names_beside(beside: Path, path: Path, count: int) -> list[str]:
    try:
        lines = beside.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{beside}, which names the rows of {path.name}, cannot be read ({error}); repair it, "
            f"or remove it if the rows are the classes in their order"
        ) from error
    names = [line.strip() for line in lines]
    if len(names) != count:
        raise InputError(
            f"{beside} has {len(names)} lines for the {count} rows of {path.name}: give each row a "
            f"name, a line each"
        )
    if "" in names:
        number = names.index("") + 1
        raise InputError(f"{beside}: line {number} is empty; give each row of {path.name} a name")
    repeated = [name for name, times in Counter(names).items() if times > 1]
    if repeated:
        raise InputError(f"{beside} names {repeated[0]!r} more than once: keep one row of it")
    return names
