"""The wanted words of a word2vec or GloVe file.

gensim would read the whole file, which takes minutes and gigabytes, would accept a line with a
single number (it fills the vector with it) and would not notice vectors beyond the header's count.
One pass over the file checks the structure and keeps the wanted records.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ffdwv_fast.errors import InputError
from ffdwv_fast.semantics.byte_reader import ByteReader
from ffdwv_fast.semantics.vector_format import VectorFormat, is_number, number

_LONGEST_WORD = 1 << 16
_LONGEST_LINE = 1 << 26


def read(
    stream: BinaryIO, path: Path, found: VectorFormat, words: set[str]
) -> dict[str, np.ndarray]:
    """Word -> ``[D]`` float32, without the words that the file lacks.

    Raises:
        InputError: For unequal widths and a wrong header.
        CutOffError: For a file that ends in the middle of a vector.
        ValueError: For a wanted vector with a field that is no number.
    """
    wanted = {word.encode(): word for word in words}
    binary = found.kind == "word2vec-binary"
    records = (_binary_records if binary else _text_records)(stream, path, found)
    kept: dict[str, np.ndarray] = {}
    for word, numbers in records:
        if word in wanted:  # as in gensim, the first of two equal words counts
            kept.setdefault(wanted[word], _vector(numbers, binary))
    return kept


def _vector(numbers: bytes, binary: bool) -> np.ndarray:
    if binary:
        return np.frombuffer(numbers, "<f4").astype(np.float32)
    with np.errstate(over="ignore"):  # what overflows is refused where it is needed
        return np.array([number(field) for field in numbers.split(b" ")], np.float32)


def _binary_records(
    stream: BinaryIO, path: Path, found: VectorFormat
) -> Iterator[tuple[bytes, bytes]]:
    reader = ByteReader(stream)
    reader.until(b"\n", _LONGEST_WORD)
    size = 4 * found.width
    for _ in range(found.count):
        # The original C tool ends every vector with a newline, gensim does not.
        word = reader.until(b" ", _LONGEST_WORD).lstrip(b"\n")
        yield word, reader.take(size)
    if reader.rest(_LONGEST_WORD).strip(b"\n"):
        raise _wrong_header(path, found, "more bytes follow")


def _text_records(
    stream: BinaryIO, path: Path, found: VectorFormat
) -> Iterator[tuple[bytes, bytes]]:
    has_header = found.count is not None
    if has_header:
        stream.readline(_LONGEST_LINE)
    count, blank_at = 0, None
    line_number = int(has_header)
    while line := stream.readline(_LONGEST_LINE):
        line_number += 1
        if not line.endswith(b"\n"):
            raise _no_line_end(path, line_number)
        fields = line.rstrip()
        if not fields:
            blank_at = blank_at or line_number
            continue
        if blank_at:
            raise InputError(f"{path}: line {blank_at} is empty; remove it")
        count += 1
        spaces = fields.count(b" ")
        if spaces != found.width:
            _require_spaced_word(fields, path, line_number, found.width)
            continue  # gensim cannot read a word with spaces, and no reading of a name asks for it
        word, _, numbers = fields.partition(b" ")
        yield word, numbers
    if has_header and count != found.count:
        raise _wrong_header(path, found, f"{count} follow")


def _require_spaced_word(fields: bytes, path: Path, line_number: int, width: int) -> None:
    """Pass ``". . ." 0.1 0.2 ...`` (GloVe 840B has such words), refuse any other width."""
    parts = fields.split(b" ")
    word_parts = parts[:-width]
    if len(word_parts) < 2 or is_number(word_parts[-1]) or not all(map(is_number, parts[-width:])):
        raise InputError(
            f"{path}: line {line_number} holds {len(parts) - 1} numbers where {width} are expected"
            f": the file is cut off, damaged or no word-vector file"
        )


def _no_line_end(path: Path, line_number: int) -> InputError:
    return InputError(
        f"{path}: line {line_number}, the last, has no line end, so the file may be cut off: "
        f"get it again, or add the line end if it is complete"
    )


def _wrong_header(path: Path, found: VectorFormat, what: str) -> InputError:
    return InputError(
        f"{path}: its header promises {found.count} vectors of width {found.width}, but {what}; "
        f"the file is cut off or damaged"
    )
