"""Telling the formats of word-vector files apart by their content."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ffdwv_fast.errors import InputError
from ffdwv_fast.semantics.fasttext_check import is_fasttext

_HEAD_BYTES = 1 << 20
_MAX_WIDTH = 1_000_000
_HEADER = re.compile(rb"\s*(\d{1,18})[ \t]+(\d{1,18})\s*")
_NO_PART_OF_A_NUMBER = re.compile(rb"[\s_]")
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f]")
_ARRAY_MAGIC = b"\x93NUMPY"
_OTHER_FILES = {
    b"PK\x03\x04": "is a zip archive: unpack it and give the vector file inside",
    b"PAR1": "is a Parquet table: give a word-vector file",
    b"\xfd7zXZ": "is xz-compressed: unpack it first",
    b"7z\xbc\xaf": "is a 7z archive: unpack it and give the vector file inside",
}


@dataclass(frozen=True)
class VectorFormat:
    """What a vector file is.

    Attributes:
        kind: ``"word2vec-binary"``, ``"word2vec-text"`` (a header line, then as GloVe),
            ``"headless-text"`` (GloVe), ``"fasttext-binary"``, ``"gensim-native"`` or ``"array"``.
        count: Number of vectors that the header promises; None without a header.
        width: D, from the header or the first line; None for the last three kinds.
    """

    kind: str
    count: int | None = None
    width: int | None = None


def detect_format(stream: BinaryIO, path: Path) -> VectorFormat:
    """The format of an (uncompressed) stream at its start.

    Raises:
        InputError: For an empty file and for content that is no vector file.
    """
    head = stream.read(_HEAD_BYTES)
    if not head.strip():
        raise InputError(f"{path} is empty: get the word-vector file again")
    for magic, what in _OTHER_FILES.items():
        if head.startswith(magic):
            raise InputError(f"{path} {what}")
    if head.startswith(_ARRAY_MAGIC):
        return VectorFormat("array")
    if head[0] == 0x80 and 2 <= head[1] <= 5:  # opcode PROTO and its version
        return VectorFormat("gensim-native")
    if is_fasttext(head):
        return VectorFormat("fasttext-binary")
    first_line, _, body = head.partition(b"\n")
    header = _HEADER.fullmatch(first_line)
    if header:
        return _with_header(int(header[1]), int(header[2]), body, path)
    width = _numbers_after_word(first_line)
    if width and not _CONTROL.search(head[: 1 << 16]):
        return VectorFormat("headless-text", None, width)
    raise InputError(
        f"{path} is no word-vector file: expected word2vec, GloVe, fastText or gensim KeyedVectors"
    )


def _with_header(count: int, width: int, body: bytes, path: Path) -> VectorFormat:
    if not (count and 0 < width <= _MAX_WIDTH):
        raise InputError(f"{path}: its header promises {count} vectors of width {width}")
    second_line = body.partition(b"\n")[0]
    if _numbers_after_word(second_line) == width or not _CONTROL.search(body[: 1 << 16]):
        return VectorFormat("word2vec-text", count, width)
    return VectorFormat("word2vec-binary", count, width)


def _numbers_after_word(line: bytes) -> int:
    """How many numbers end the line ``word number number ...``; 0 where it is none such."""
    parts = line.rstrip().split(b" ")
    return len(parts) - 1 if all(map(is_number, parts[1:])) else 0


def is_number(text: bytes) -> bool:
    """Whether a field of a text file reads as a number."""
    try:
        number(text)
    except ValueError:
        return False
    return True


def number(text: bytes) -> float:
    """The number that a field of a text file is; ValueError where it is none.

    ``float`` would pass over white space and underscores: of a damaged ``-3.5`` or ``2.0`` it would
    make another number.
    """
    if _NO_PART_OF_A_NUMBER.search(text):
        raise ValueError(f"{text!r} is no number")
    return float(text)
