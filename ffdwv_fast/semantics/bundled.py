"""The word vectors that come with the package: see assets/README.md."""

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path

import numpy as np

from ffdwv_fast.errors import InputError
from ffdwv_fast.semantics import int8_words
from ffdwv_fast.semantics.whole_npz import read_npz

BUNDLED_SOURCE = "glove-6b-50d"
ASSETS = Path(__file__).parent / "assets"
CLASS_WORDS_FILE = ASSETS / "glove_6b_50d_class_words.npz"
COMMON_WORDS_FILE = ASSETS / "glove_6b_50d_common_words.npz"

_IN_NO_COMMON_WORD = {"_", " "}
_ELSEWHERE = (
    "30,000 words of GloVe 6B are bundled, all 400,000 are in glove-wiki-gigaword-50 (a "
    "gensim-data name, downloaded): give that or a vector file with --word-vectors (in Python: "
    "source=)"
)
_MOST_SPELLINGS_LOOKED_FOR = 10  # a tenth of a second each


def bundled_vectors(words: set[str]) -> dict[str, np.ndarray]:
    """The vectors of those words that are bundled.

    Class words of the built-in data sets have GloVe's very numbers. The common words, which are
    rounded to 8 bits, are read only where another word is asked for.

    Args:
        words: The words wanted.

    Returns:
        Word -> ``[50]`` float32. Words that are not bundled are left out.

    Raises:
        InputError: For a file that is missing or damaged.
    """
    exact = class_words()
    # Not "maple_tree", which would have the common words read for CIFAR-100.
    others = {word for word in words - exact.keys() if _IN_NO_COMMON_WORD.isdisjoint(word)}
    rounded = common_words() if others else {}
    found = {word: exact[word] for word in words & exact.keys()}
    return found | {word: rounded[word] for word in others & rounded.keys()}


def bundled_hint(missing: Sequence[str]) -> str:
    """What to do about words that are not bundled, to go on with an error message.

    Args:
        missing: The words.
    """
    known = common_words().keys() | class_words().keys()
    near = {
        word: get_close_matches(word.lower(), known, cutoff=0.8)
        for word in missing[:_MOST_SPELLINGS_LOOKED_FOR]
    }
    close = ", ".join(f"{' or '.join(found)} for {word}" for word, found in near.items() if found)
    return (f"; bundled words of like spelling: {close}" if close else "") + f"; {_ELSEWHERE}"


@lru_cache(maxsize=1)
def class_words() -> dict[str, np.ndarray]:
    """The class words of CIFAR-10, CIFAR-100 and digits with their ``[50]`` float32 vectors.

    Raises:
        InputError: For a file that is missing or damaged.
    """
    return _read(
        CLASS_WORDS_FILE,
        lambda asset: dict(zip(asset["words"].tolist(), asset["vectors"], strict=True)),
    )


@lru_cache(maxsize=1)
def common_words() -> dict[str, np.ndarray]:
    """30,000 words that class names may be made of, with their ``[50]`` float32 vectors, rounded.

    Raises:
        InputError: For a file that is missing or damaged.
    """
    return _read(COMMON_WORDS_FILE, int8_words.unpacked)


def _read(
    file: Path, unpack: Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    try:
        return unpack(read_npz(file))
    except Exception as error:  # a damaged archive fails in many ways
        raise InputError(
            f"{file}, a part of this package, cannot be read ({type(error).__name__}): "
            f"install the package again"
        ) from error
