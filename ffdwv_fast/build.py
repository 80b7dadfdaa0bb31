"""How the installed copy was built."""

import importlib

import torch

from ffdwv_fast.native import LIBRARY, load_library


def build_info() -> dict[str, object]:
    """What to put into a bug report or the header of a result.

    Returns:
        `native` (whether the fused op can be called) and, where it cannot, `reason`; `library`
        (its path); `torch` (the version that runs); and, of the build: version, compiler, build
        type, C++ standard, the torch it was built with, the oldest torch it serves, CUDA
        architectures.
    """
    reason = load_library()
    info: dict[str, object] = {
        "native": reason is None,
        "library": str(LIBRARY),
        "torch": torch.__version__,
    }
    if reason is not None:
        info["reason"] = reason
    try:
        native = importlib.import_module("ffdwv_fast._build_info")
    except ImportError:  # not built, or built for another Python
        return info
    return info | native.get()
