"""The native op that turns resident images and a plan into a batch, and its fake (shape-only) half.

The schema, the checks and the dispatch are in csrc/image_ops.cpp, the pixels in csrc/images.h.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ffdwv_fast.native import BUILD_COMMAND, load_library

_NAME = "ffdwv_fast::augment_images"


def augment_images(
    images: Tensor,
    index: Tensor,
    offset_y: Tensor,
    offset_x: Tensor,
    flip: Tensor,
    mean: Sequence[float],
    std: Sequence[float],
    padding: int,
    dtype: torch.dtype,
) -> Tensor:
    """Gather, pad, crop, flip, normalise and cast, in one pass and, on a GPU, one kernel.

    The value of a pixel is (pixel/255 - mean) / std, computed in float32 with every step rounded,
    then cast; padding is pixel 0. It is the same, to the bit, on every device. On a GPU nothing is
    waited for, so the op can be captured in a CUDA graph.

    Args:
        images: uint8 [N, H, W, C] contiguous, without padding; at most 16 channels and 2^27 values
            to an image.
        index: int64 or int32 [B]: which image.
        offset_y: uint8 [B], first row of the crop in the padded image, 0 to 2 padding.
        offset_x: uint8 [B], first column of it.
        flip: uint8 or bool [B]: whether the crop is mirrored left to right.
        mean: C numbers, in units of pixel / 255; each 0 or of a size from 1e-18 to 1e18.
        std: C numbers from 1e-18 to 1e18, in units of pixel / 255.
        padding: black pixels on every side of an image, 0 to 127.
        dtype: float32, float16 or bfloat16.

    Returns:
        [B, C, H, W] of that dtype in channels_last memory, on the device of the images. On a GPU
        an entry of the plan that is out of range makes its image NaN, and no other.

    Raises:
        ValueError: arguments of another shape, dtype, device or layout.
        IndexError: on a CPU, an index or offset out of range.
    """
    return torch.ops.ffdwv_fast.augment_images(
        images, index, offset_y, offset_x, flip, mean, std, padding, dtype
    )


def why_not_on(device: torch.device) -> str | None:
    """None where the op can be called on a device, else the reason and how to build it."""
    if WHY_NOT_NATIVE is not None:
        return f"{WHY_NOT_NATIVE}; build it, in a checkout, with: {BUILD_COMMAND}"
    if torch._C._dispatch_has_kernel_for_dispatch_key(_NAME, device.type.upper()):
        return None
    return (
        f"the native library was built without {device.type} kernels; build it, in a checkout, "
        f"with: FFDWV_CMAKE_ARGS=-DFFDWV_{device.type.upper()}=ON {BUILD_COMMAND}"
    )


def _load() -> str | None:
    reason = load_library()
    if reason is None and not hasattr(torch.ops.ffdwv_fast, "augment_images"):
        reason = "the native library is older than this package"
    if reason is None:
        torch.library.register_fake(_NAME, _fake)
    return reason


def _fake(images, index, offset_y, offset_x, flip, mean, std, padding, dtype):
    if any(t.device != images.device for t in (index, offset_y, offset_x, flip)):
        raise ValueError("augment_images: the plan must be on the device of the images")
    _, h, w, c = images.shape
    strides = (h * w * c, 1, w * c, c)
    return images.new_empty_strided((index.shape[0], c, h, w), strides, dtype=dtype)


WHY_NOT_NATIVE = _load()
