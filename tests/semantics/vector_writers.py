"""Tiny vector files, written byte by byte where gensim's own writer is not the point."""

import bz2
import gzip
import struct
from pathlib import Path

import numpy as np

WIDTH = 3
# "fire_truck" is there as a phrase and "sea_horse" only by its parts; 0.1 is no exact float32.
VECTORS = {
    "cat": [0.1, 2.0, -3.5],
    "dog": [0.25, 1.5, -3.0],
    "fire": [1.0, 0.0, 0.0],
    "truck": [0.0, 1.0, 0.0],
    "fire_truck": [5.0, 5.0, 5.0],
    "sea": [-1.0, -2.0, -3.0],
    "horse": [3.0, 5.0, 8.0],
    "müßig": [7.0, 7.5, -7.0],
}


def text_lines(vectors=VECTORS) -> str:
    return "".join(f"{w} {' '.join(map(str, v))}\n" for w, v in vectors.items())


def text_with_header(vectors=VECTORS) -> bytes:
    return f"{len(vectors)} {WIDTH}\n{text_lines(vectors)}".encode()


def text_without_header(vectors=VECTORS) -> bytes:
    return text_lines(vectors).encode()


def fasttext_vec(vectors=VECTORS) -> bytes:
    """As fastText writes it: a blank before every line end."""
    return text_with_header(vectors).replace(b"\n", b" \n").replace(b"3 \n", b"3\n", 1)


def binary(vectors=VECTORS, end: bytes = b"") -> bytes:
    records = (w.encode() + b" " + struct.pack("<3f", *v) + end for w, v in vectors.items())
    return f"{len(vectors)} {WIDTH}\n".encode() + b"".join(records)


def binary_of_the_c_tool(vectors=VECTORS) -> bytes:
    return binary(vectors, end=b"\n")


def fasttext_bin(vectors=VECTORS, *, bucket=0, labels=0, quantised=False) -> bytes:
    """A fastText model without n-grams (maxn 0), so that the stored rows are the word vectors."""
    settings = [WIDTH, 5, 5, 1, 5, 1, 2, 2, bucket, 0, 0, 100]
    parts = [struct.pack("<2i12id", 793712314, 12, *settings, 1e-4)]
    parts.append(struct.pack("<3iqq", len(vectors), len(vectors), labels, 100, 0))
    for count, word in enumerate(vectors):
        parts.append(word.encode() + b"\0" + struct.pack("<qb", 100 - count, 0))
    parts.append(struct.pack("<?2q", quantised, len(vectors) + bucket, WIDTH))
    table = np.zeros((len(vectors) + bucket, WIDTH), "<f4")
    table[: len(vectors)] = list(vectors.values())
    parts.append(table.tobytes())
    parts.append(struct.pack("<?2q", False, len(vectors), WIDTH))
    parts.append(np.zeros((len(vectors), WIDTH), "<f4").tobytes())
    return b"".join(parts)


def keyed_vectors(vectors=VECTORS):
    from gensim.models import KeyedVectors

    made = KeyedVectors(WIDTH)
    made.add_vectors(list(vectors), np.array(list(vectors.values()), np.float32))
    return made


def _write(content: bytes, opener=open):
    def write(path: Path) -> None:
        with opener(path, "wb") as stream:
            stream.write(content)

    return write


def _native(**options):
    return lambda path: keyed_vectors().save(str(path), **options)


def _gensim_word2vec(**options):
    return lambda path: keyed_vectors().save_word2vec_format(str(path), **options)


def _array(path: Path) -> None:
    np.save(path, list(VECTORS.values()))
    path.with_suffix(".txt").write_text("\n".join(VECTORS), encoding="utf-8")


def is_pickle(name: str) -> bool:
    """Whether a file of WRITERS is in gensim's own format."""
    return name.startswith("native")


# file name -> writes VECTORS in that format; names mislead on purpose: the content decides
WRITERS = {
    "vectors.bin": _write(binary()),
    "c_tool.bin": _write(binary_of_the_c_tool()),
    "vectors.bin.gz": _write(binary(), gzip.open),
    "binary_called.txt": _write(binary()),
    "vectors.txt": _write(text_with_header()),
    "vectors.txt.gz": _write(text_with_header(), gzip.open),
    "vectors.txt.bz2": _write(text_with_header(), bz2.open),
    "text_called.bin": _write(text_with_header()),
    "gzip_without_suffix.bin": _write(binary(), gzip.open),
    "windows.txt": _write(text_with_header().replace(b"\n", b"\r\n")),
    "glove.txt": _write(text_without_header()),
    "glove_without_suffix": _write(text_without_header()),
    "fasttext.vec": _write(fasttext_vec()),
    "fasttext.bin": _write(fasttext_bin()),
    "fasttext_called.vec": _write(fasttext_bin()),
    "native.kv": _native(),
    "native_mapped.kv": _native(sep_limit=0),
    "native_protocol_2.kv": _native(pickle_protocol=2),
    "native.kv.gz": _native(sep_limit=0),
    "by_gensim.bin": _gensim_word2vec(binary=True),
    "by_gensim.txt": _gensim_word2vec(),
    "by_gensim_headless.txt": _gensim_word2vec(write_header=False),
    "array.npy": _array,
}
