"""timm, where that can be had."""

import importlib.util
from types import ModuleType

import pytest
import torch


def imported_timm() -> ModuleType:
    """The module; skips the tests of the file that asks where it is not installed."""
    for name in ("torchvision", "timm"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed", allow_module_level=True)
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        _name_operators()
    import timm

    return timm


def _name_operators() -> None:
    """PyPI's torchvision is built for CUDA, and a torch for CPUs cannot load its operators.

    No network of timm's needs one. torchvision's own import needs the names of two.
    """
    for name in ("nms", "qnms"):
        schema = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        torch.library.define(f"torchvision::{name}", schema)
