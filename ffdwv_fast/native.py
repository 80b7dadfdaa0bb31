"""The native library: where it is, and loading it."""

from functools import cache
from pathlib import Path

import torch

LIBRARY = Path(__file__).parent / "libffdwv_fast.so"
BUILD_COMMAND = "pip install --no-build-isolation -e ."


@cache
def load_library() -> str | None:
    """Load the native library; None if its ops are there to be called, else the reason."""
    if not LIBRARY.exists():
        return "the native library is not built"
    try:
        torch.ops.load_library(str(LIBRARY))
    except OSError as error:
        return f"the native library does not load with torch {torch.__version__}: {error}"
    return None
