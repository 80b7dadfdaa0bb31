"""The cache of class vectors."""

from pathlib import Path

import numpy as np

from ffdwv_fast.semantics.vector_cache import cached_class_vectors
from tests.fuzz.target import Target, expect

NAMES = ("cat", "dog")


def entry(folder: Path) -> Target:
    """A file of the cache: whatever it holds, the vectors are those of the vector file."""
    vectors = np.array([[0.1, 2.0, -3.5], [0.25, 1.5, -3.0]], np.float32)
    source, cache = folder / "vectors.txt", folder / "cache"
    source.write_bytes(b"any")

    def read() -> np.ndarray:
        return cached_class_vectors(source, NAMES, {}, cache, vectors.copy)

    read()
    (file,) = cache.iterdir()

    def check(data: bytes) -> None:
        file.write_bytes(data)
        found = read()
        expect(found.dtype == np.float32 and np.array_equal(found, vectors), f"{found}")

    return Target([file.read_bytes()], check)
