"""The word vectors that come with the package: see assets/README.md."""

from functools import lru_cache
from pathlib import Path

import numpy as np

BUNDLED_SOURCE = "glove-6b-50d"
BUNDLED_FILE = Path(__file__).parent / "assets" / "glove_6b_50d_class_words.npz"
BUNDLED_HINT = (
    "; the bundled vectors hold only the class words of CIFAR-10, CIFAR-100 and digits, "
    "the rest is in glove-wiki-gigaword-50 (a gensim-data name, downloaded) or a vector file"
)


@lru_cache(maxsize=1)
def bundled_vectors() -> dict[str, np.ndarray]:
    """Every bundled word with its ``[50]`` float32 vector."""
    with np.load(BUNDLED_FILE, allow_pickle=False) as asset:
        return dict(zip(asset["words"].tolist(), asset["vectors"], strict=True))
