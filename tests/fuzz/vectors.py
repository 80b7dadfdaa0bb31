"""Files of word vectors."""

import bz2
import gzip
import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ffdwv_fast.semantics.vector_files import read_word_vectors
from tests.fuzz.target import Target, expect
from tests.semantics import vector_writers
from tests.semantics.vector_writers import VECTORS, WRITERS

WORDS = {"cat", "dog", "fire", "fire_truck", "müßig"}
Vectors = dict[str, np.ndarray]

_NUMBER = re.compile(rb"[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|nan|inf(inity)?)", re.IGNORECASE)
# A longer number is a word.
_HEADER = re.compile(rb"\s*(\d{1,18})[ \t]+(\d{1,18})\s*")


def word2vec(folder: Path) -> Target:
    """word2vec's text and binary files, and GloVe's, which differ by their content alone."""
    two = dict(list(VECTORS.items())[:2])
    seeds = [
        *(vector_writers.binary(), vector_writers.binary_of_the_c_tool(two)),
        *(vector_writers.text_with_header(), vector_writers.text_without_header(two)),
        vector_writers.fasttext_vec(two),
    ]

    def check(data: bytes) -> None:
        found = _read(folder / "vectors", data)
        expect(
            any(_is_reading(found, reference, data) for reference in (text, binary)),
            f"{found} is neither the text's nor the binary's content",
        )

    return Target(seeds, check)


def compressed(folder: Path) -> Target:
    """The same compressed, which has a checksum: a result is that of the file before it."""
    content = vector_writers.text_with_header()
    plain = text(content)

    def check(data: bytes) -> None:
        found = _read(folder / "vectors", data)
        if data[:2] == b"\x1f\x8b" or data[:3] == b"BZh":
            expect(found.keys() == WORDS, f"{found.keys()} were found")
            expect(all(np.array_equal(found[word], plain[word]) for word in found), f"{found}")

    return Target([gzip.compress(content, mtime=0), bz2.compress(content)], check)


def array(folder: Path) -> Target:
    """NumPy's ``.npy``, whose rows are two classes."""
    names = list(VECTORS)[:2]
    table = np.array([VECTORS[name] for name in names])
    seeds = [_npy(table.astype("<f4")), _npy(np.asfortranarray(table.astype(">f2")))]

    def check(data: bytes) -> None:
        found = _read(folder / "vectors.npy", data, class_names=names)
        if data.startswith(b"\x93NUMPY"):
            with np.errstate(over="ignore"):
                rows = np.load(io.BytesIO(data), allow_pickle=False).astype(np.float32)
            expected = dict(zip(names, rows, strict=True))
            expect(_is_reading(found, lambda _: expected, data), f"{found}, not {expected}")

    return Target(seeds, check)


def fasttext(folder: Path) -> Target:
    """fastText's ``.bin``."""
    two = dict(list(VECTORS.items())[:2])
    return Target([vector_writers.fasttext_bin(two)], lambda data: _read(folder / "vectors", data))


def gensim_native(folder: Path) -> Target:
    """gensim's ``KeyedVectors.save``, a pickle, read as the user has allowed it."""
    seeds = []
    for name in ("native.kv", "native_protocol_2.kv"):
        WRITERS[name](folder / name)
        seeds.append((folder / name).read_bytes())
    return Target(seeds, lambda data: _read(folder / "vectors", data, allow_pickle=True))


def _npy(table: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, table)
    return stream.getvalue()


def _read(path: Path, data: bytes, **options: object) -> Vectors:
    path.write_bytes(data)
    found = read_word_vectors(path, WORDS, **options)
    expect(found.keys() <= WORDS, f"{found.keys()} are words that nobody asked for")
    expect(all(v.dtype == np.float32 and v.ndim == 1 for v in found.values()), f"{found}")
    expect(len({len(vector) for vector in found.values()}) <= 1, "unequal widths")
    return found


def _is_reading(found: Vectors, reference: Callable[[bytes], Vectors], data: bytes) -> bool:
    try:
        expected = reference(data)
    except (ValueError, IndexError):
        return False
    wanted = {word: vector for word, vector in expected.items() if word in WORDS}
    return found.keys() == wanted.keys() and all(
        np.array_equal(found[word], wanted[word], equal_nan=True) for word in found
    )


def text(data: bytes) -> Vectors:
    """The vectors of a text file, read by another hand; ValueError where it is none."""
    lines = data.split(b"\n")
    header = _HEADER.fullmatch(lines[0])
    width = int(header[2]) if header else len(lines[0].rstrip().split(b" ")) - 1
    found: dict[bytes, list[bytes]] = {}
    for line in lines[1:] if header else lines:
        word, *numbers = line.rstrip().split(b" ")
        if len(numbers) == width:
            found.setdefault(word, numbers)
    wanted = {word.encode() for word in WORDS} & found.keys()
    return {word.decode(): _numbers(found[word]) for word in wanted}


def _numbers(fields: list[bytes]) -> np.ndarray:
    if not all(map(_NUMBER.fullmatch, fields)):
        raise ValueError(fields)
    with np.errstate(over="ignore"):
        return np.array(list(map(float, fields)), np.float32)


def binary(data: bytes) -> Vectors:
    """The vectors of a word2vec binary file, read by another hand."""
    count, width = map(int, data[: data.index(b"\n")].split())
    at = data.index(b"\n") + 1
    found: dict[bytes, np.ndarray] = {}
    for _ in range(count):
        end = data.index(b" ", at)
        found.setdefault(data[at:end].lstrip(b"\n"), np.frombuffer(data, "<f4", width, end + 1))
        at = end + 1 + 4 * width
    wanted = {word.encode() for word in WORDS} & found.keys()
    return {word.decode(): found[word] for word in wanted}
