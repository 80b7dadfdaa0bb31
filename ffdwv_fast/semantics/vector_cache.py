"""Class vectors kept as a small file, so that a large vector file is read once."""

import glob
import hashlib
import json
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from ffdwv_fast.atomic_file import replaced_file
from ffdwv_fast.extras import need
from ffdwv_fast.semantics.whole_npz import read_npz

# Raised whenever the same names and source would give other vectors than before.
_FORMAT_VERSION = 2


def cached_class_vectors(
    path: Path,
    names: Sequence[str],
    aliases: Mapping[str, str],
    cache_dir: str | os.PathLike | None,
    read: Callable[[], np.ndarray],
) -> np.ndarray:
    """``read()``, or what it gave the last time for the same file, names and aliases.

    Args:
        path: The vector file; size and modification time tell whether it is the same.
        names: C class names.
        aliases: Words read in place of names.
        cache_dir: Folder of the cache; None takes ``$FFDWV_CACHE_DIR``, else the user's cache.
        read: Reads the vector file, ``[C, D]`` float32.

    Returns:
        ``[C, D]`` float32.
    """
    key = json.dumps(
        {
            "format": _FORMAT_VERSION,
            "files": _identity(path),
            "names": list(names),
            "aliases": dict(sorted(aliases.items())),
        }
    )
    digest = hashlib.sha256(key.encode()).hexdigest()[:32]
    entry = _cache_folder(cache_dir) / f"class_vectors_{digest}.npz"
    vectors = _load(entry, key, len(names))
    if vectors is None:
        vectors = read()
        _store(entry, key, vectors)
    return vectors


def _identity(path: Path) -> list[list]:
    """Path, size and time of the file, and of the arrays that gensim saves beside it."""
    path = path.resolve()
    beside = path.parent.glob(f"{glob.escape(path.name)}.*.np[yz]")
    stats = [(str(file), file.stat()) for file in [path, *sorted(beside)]]
    return [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats]


def _cache_folder(cache_dir: str | os.PathLike | None) -> Path:
    folder = cache_dir or os.environ.get("FFDWV_CACHE_DIR")
    if folder:
        return Path(folder).expanduser()
    need("platformdirs")
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("ffdwv_fast"))


def _load(entry: Path, key: str, class_count: int) -> np.ndarray | None:
    try:
        content = read_npz(entry)
        stored_key, vectors = str(content["key"]), content["vectors"]
    except Exception:  # a damaged archive fails in many ways, all of which mean: read again
        return None
    whole = vectors.ndim == 2 and len(vectors) == class_count and vectors.dtype == np.float32
    return vectors if whole and stored_key == key and np.isfinite(vectors).all() else None


def _store(entry: Path, key: str, vectors: np.ndarray) -> None:
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        with replaced_file(entry) as stream:
            np.savez(stream, key=np.array(key), vectors=vectors)
    except OSError as error:
        warnings.warn(
            f"class vectors are not cached, the vector file is read again next time: {error}; "
            f"set FFDWV_CACHE_DIR to a folder that can be written",
            stacklevel=2,
        )
