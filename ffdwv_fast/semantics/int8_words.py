"""Words and their vectors in a byte a component: arrays for an ``.npz`` file, and back."""

from collections.abc import Mapping, Sequence

import numpy as np

_LARGEST_CODE = 127


def packed(words: Sequence[str], vectors: np.ndarray) -> dict[str, np.ndarray]:
    """Words with their vectors as small arrays.

    Components become whole numbers times one scale, which the largest of all sets; none is moved
    by more than half of it. The scale is not a word's own: S depends on exp(-distance), for which
    it counts how far a vector is moved, and not how far in relation to its length; and with equal
    steps most codes are small, so that they compress.

    Args:
        words: n words without line breaks.
        vectors: ``[n, D]`` float32, not all of them zero.

    Returns:
        ``words``, their lines in UTF-8 as uint8; ``codes``, ``[n, D]`` int8; ``scale``, ``[]``
        float32.
    """
    scale = np.abs(vectors).max() / np.float32(_LARGEST_CODE)
    codes = np.rint(vectors / scale).astype(np.int8)
    lines = np.frombuffer("\n".join(words).encode(), np.uint8)
    return {"words": lines, "codes": codes, "scale": np.array(scale)}


def unpacked(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What :func:`packed` was given, rounded: word -> ``[D]`` float32, in the same order.

    Raises:
        ValueError: For as many words as there are not vectors, and for words that are no UTF-8.
    """
    words = arrays["words"].tobytes().decode().split("\n")
    vectors = arrays["codes"] * arrays["scale"]
    return dict(zip(words, vectors, strict=True))
