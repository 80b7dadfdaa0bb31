"""The word vectors that come with the package: see assets/README.md."""

from functools import lru_cache
from pathlib import Path

import numpy as np

from ffdwv_fast.errors import InputError

BUNDLED_SOURCE = "glove-6b-50d"
BUNDLED_FILE = Path(__file__).parent / "assets" / "glove_6b_50d_class_words.npz"
BUNDLED_HINT = (
    "; the bundled vectors hold only the class words of CIFAR-10, CIFAR-100 and digits, "
    "the rest is in glove-wiki-gigaword-50 (a gensim-data name, downloaded) or a vector file"
)


@lru_cache(maxsize=1)
def bundled_vectors() -> dict[str, np.ndarray]:
    """Every bundled word with its ``[50]`` float32 vector.

    Raises:
        InputError: For a file that is missing or damaged.
    """
    try:
        with np.load(BUNDLED_FILE, allow_pickle=False) as asset:
            return dict(zip(asset["words"].tolist(), asset["vectors"], strict=True))
    except Exception as error:  # a damaged archive fails in many ways
        raise InputError(
            f"{BUNDLED_FILE}, a part of this package, cannot be read ({type(error).__name__}): "
            f"install the package again"
        ) from error
