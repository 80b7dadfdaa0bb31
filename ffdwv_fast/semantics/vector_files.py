"""Word vectors from a file in any format that gensim reads, or an array with names."""

import bz2
import gzip
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ffdwv_fast.errors import InputError
from ffdwv_fast.extras import need
from ffdwv_fast.semantics import array_file, fasttext_check, native_check, word2vec_excerpt
from ffdwv_fast.semantics.byte_reader import CutOffError
from ffdwv_fast.semantics.vector_format import detect_format

_OPENERS: dict[str, Callable[[Path, str], BinaryIO]] = {
    "": open,
    ".gz": gzip.open,
    ".bz2": bz2.open,
}
_COMPRESSION_MAGIC = {b"\x1f\x8b": ".gz", b"BZh": ".bz2"}


def read_word_vectors(
    path: Path,
    words: Collection[str],
    allow_pickle: bool = False,
    class_names: Sequence[str] | None = None,
) -> dict[str, np.ndarray]:
    """The vectors of those words that the file holds.

    The format is told by the content. Only words of the file's vocabulary count: fastText could
    compose a vector for any string, which would hide a misspelt class name.

    Args:
        path: word2vec binary or text, GloVe text, fastText ``.vec`` or ``.bin``, or gensim's own
            ``KeyedVectors.save``, all but fastText ``.bin`` also compressed with gzip or bzip2; or
            a NumPy ``.npy`` array.
        words: The words wanted.
        allow_pickle: Read ``KeyedVectors.save`` files, which are pickles, too.
        class_names: The names of an array's rows where no file beside it gives them.

    Returns:
        Word -> ``[D]`` float32. Words that the file lacks are left out.

    Raises:
        InputError: For a file that is missing, empty, cut off, of unequal widths, of another
            length than its header says, or no vector file; for a pickle without ``allow_pickle``,
            and with it for one that names more than a KeyedVectors needs.
    """
    try:
        return _read(path, set(words), allow_pickle, class_names)
    except InputError:
        raise
    except (CutOffError, EOFError) as error:
        raise InputError(
            f"{path} is cut off: it ends in the middle of a vector; get it again"
        ) from error
    except Exception as error:  # gensim, gzip and numpy raise some twenty types for damaged files
        detail = (str(error).splitlines() or [""])[0]
        raise InputError(
            f"{path} cannot be read as word vectors ({type(error).__name__}: {detail}); "
            f"get it again"
        ) from error


def _read(
    path: Path, words: set[str], allow_pickle: bool, class_names: Sequence[str] | None
) -> dict[str, np.ndarray]:
    compression = _compression(path)
    with _OPENERS[compression](path, "rb") as stream:
        found = detect_format(stream, path)
    if found.kind == "gensim-native" and not allow_pickle:
        raise InputError(
            f"{path} is a pickle, as gensim's KeyedVectors.save writes it, and a pickle can run "
            f"any code: refused; if you trust its origin give --allow-pickle (in Python: "
            f"allow_pickle=True), or give it in word2vec format (save_word2vec_format)"
        )
    if found.kind in ("fasttext-binary", "gensim-native"):
        _require_suffix(path, compression)
    if found.kind == "array":
        if compression:
            raise InputError(f"{path} is a compressed array: unpack it first")
        return array_file.read(path, words, class_names)
    with _OPENERS[compression](path, "rb") as stream:
        if found.kind == "fasttext-binary":
            if compression:  # gensim would read the vectors from the compressed bytes
                raise InputError(f"{path} is a compressed fastText model: unpack it first")
            fasttext_check.check(stream, path, path.stat().st_size)
            return _select(_load_fasttext(path), words, path)
        if found.kind == "gensim-native":
            native_check.check(stream, path)
            return _select(_load_native(path, compression), words, path)
        return word2vec_excerpt.read(stream, path, found, words)


def _compression(path: Path) -> str:
    with path.open("rb") as stream:
        start = stream.read(4)
    return next((s for magic, s in _COMPRESSION_MAGIC.items() if start.startswith(magic)), "")


def _require_suffix(path: Path, compression: str) -> None:
    """gensim goes by the suffix: it must see the same bytes as the checks before it."""
    if (path.suffix if path.suffix in _OPENERS else "") != compression:
        raise InputError(
            f"{path} is {'compressed' if compression else 'not compressed'}: rename it so that "
            f"its name {'ends in ' + compression if compression else 'does not end in .gz or .bz2'}"
        )


def _load_fasttext(path: Path):
    need("gensim")
    from gensim.models.fasttext import load_facebook_vectors

    return load_facebook_vectors(str(path))


def _load_native(path: Path, compression: str):
    need("gensim")
    from gensim.models import KeyedVectors

    return KeyedVectors.load(str(path), mmap=None if compression else "r")


def _select(vectors, words: set[str], path: Path) -> dict[str, np.ndarray]:
    rows, table = vectors.key_to_index, vectors.vectors
    if np.ndim(table) != 2 or len(table) != len(rows):
        raise InputError(f"{path} holds {len(rows)} words for vectors of shape {np.shape(table)}")
    return {word: np.array(table[rows[word]], np.float32) for word in words & rows.keys()}
