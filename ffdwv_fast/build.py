"""How the installed copy was built."""

import ctypes
import json

import torch

from ffdwv_fast.native import LIBRARY, load_library


def build_info() -> dict[str, object]:
    """What to put into a bug report or the header of a result.

    Returns:
        `native` (whether the fused op can be called) and, where it cannot, `reason`; `library`
        (its path); `torch` (the version that runs); and, of a build that loads: version, compiler,
        build type, C++ standard, the torch it was built with, the oldest torch it serves, CUDA
        architectures.
    """
    reason = load_library()
    info: dict[str, object] = {
        "native": reason is None,
        "library": str(LIBRARY),
        "torch": torch.__version__,
    }
    if reason is not None:
        return info | {"reason": reason}
    return info | _of_the_library()


def _of_the_library() -> dict[str, object]:
    try:
        says = ctypes.CDLL(str(LIBRARY)).ffdwv_fast_build_info
    except AttributeError:  # a library from before the package that calls it
        return {}
    says.restype = ctypes.c_char_p
    return json.loads(says())
