"""Class names -> class vectors."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from ffdwv_fast.errors import InputError
from ffdwv_fast.semantics import array_file
from ffdwv_fast.semantics.bundled import BUNDLED_SOURCE, bundled_hint, bundled_vectors
from ffdwv_fast.semantics.gensim_data import downloaded_file
from ffdwv_fast.semantics.names import (
    checked_aliases,
    checked_names,
    refuse_equal_vectors,
    resolve,
    wanted_words,
)
from ffdwv_fast.semantics.vector_cache import cached_class_vectors
from ffdwv_fast.semantics.vector_files import read_word_vectors


def class_vectors(
    names: Sequence[str],
    source: str | os.PathLike = BUNDLED_SOURCE,
    aliases: Mapping[str, str] | None = None,
    cache_dir: str | os.PathLike | None = None,
    *,
    allow_pickle: bool = False,
) -> Tensor:
    """One word vector per class name.

    A name is read as its alias if it has one, else as it stands, else with its parts joined by
    ``_``, else as the mean of its parts (split at ``_``, ``-`` and spaces). Each word of these is
    taken as it stands where the source has it so, else in lower case.

    Args:
        names: C class names, no two alike.
        source: ``"glove-6b-50d"``, bundled (30,000 words, rounded to 8 bits, and unchanged the
            class words of CIFAR-10, CIFAR-100 and digits); or a file: word2vec binary or text,
            GloVe text, fastText ``.vec`` or ``.bin``, gensim's ``KeyedVectors.save`` (all but
            fastText ``.bin`` also as .gz or .bz2); or a gensim-data name such as
            ``"word2vec-google-news-300"``, which is downloaded; or a NumPy array ``FILE.npy``,
            ``[rows, D]`` float16, float32 or float64, whose rows a text file ``FILE.txt`` beside
            it names with a line each; without one they are the C classes in their order.
        aliases: Words to read in place of a class name, ``{"ray": "stingray"}``.
        cache_dir: Where vectors taken from a file are kept, so that it is read once. Default:
            the environment variable ``FFDWV_CACHE_DIR``, else the user's cache folder.
        allow_pickle: Read gensim's ``KeyedVectors.save`` too, a pickle; only from an origin that
            you trust. What was read once comes from the cache, which holds no pickle.

    Returns:
        ``[C, D]`` float32 on the CPU, in the order of the names.

    Raises:
        InputError: For names without a vector (all are listed), names given twice, two names with
            the same vector, aliases of unknown names, a source that cannot be read, and a pickle
            without ``allow_pickle``.
    """
    names = checked_names(names)
    aliases = checked_aliases(names, aliases)
    if not isinstance(source, str | os.PathLike):
        raise InputError(f"word vectors {source!r}: expected a file, a name or {BUNDLED_SOURCE!r}")
    where = os.fspath(source)
    if where == BUNDLED_SOURCE:
        found = bundled_vectors(wanted_words(names, aliases))
        vectors = resolve(names, aliases, found, where, bundled_hint)
    else:
        path = _source_file(where)

        def read():
            found = read_word_vectors(path, wanted_words(names, aliases), allow_pickle, names)
            return resolve(names, aliases, found, where, _other_source)

        if path.suffix == array_file.SUFFIX:  # as quick as the cache, which knows no names beside
            vectors = read()
        else:
            vectors = cached_class_vectors(path, names, aliases, cache_dir, read)
    refuse_equal_vectors(names, vectors, where)
    return torch.from_numpy(vectors)


def _other_source(_missing: Sequence[str]) -> str:
    return ", or take another --word-vectors SOURCE"


def _source_file(source: str) -> Path:
    """The file of a source that is a path or a gensim-data name; a file that exists goes first."""
    # os.path and not pathlib, which raises for names that are too long and for unknown homes.
    expanded = os.path.expanduser(source)
    path = Path(expanded)
    if os.path.isdir(expanded):
        raise InputError(f"word vectors {source} is a folder: give the file in it")
    if os.path.isfile(expanded):
        return path
    if path.suffix or len(path.parts) != 1:
        raise InputError(
            f"word vectors {source!r}: there is no such file; give a file, a gensim-data name or "
            f"{BUNDLED_SOURCE}"
        )
    return downloaded_file(source)
