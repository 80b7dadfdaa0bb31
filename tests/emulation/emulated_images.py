"""The image kernel, called as augment_images is, but run on the host by the emulation."""

import pytest
import torch

_emulation = pytest.importorskip(
    "tests.emulation._emulation", reason="the emulation is built with -DFFDWV_TESTS=ON"
)

THREADS = _emulation.image_threads
# Around the output: what the kernel must leave alone.
GUARD = 64


def emulated_images(
    images,
    index,
    offset_y,
    offset_x,
    flip,
    mean,
    std,
    padding,
    dtype,
    *,
    order="random",
    most_blocks=7,
    misaligned=False,
):
    """[B, C, H, W] in channels_last memory, from the emulated kernel; the output starts as NaN.

    Args, beyond those of augment_images:
        order: in which the emulation runs threads and blocks.
        most_blocks: of the grid, at most, so that threads write several vectors; more where there
            are more images.
        misaligned: put the output beside the addresses that a vector can be stored to.
    """
    _, height, width, channels = images.shape
    shape = (len(index), height, width, channels)
    buffer = torch.full((torch.Size(shape).numel() + 2 * GUARD + 1,), torch.nan, dtype=dtype)
    first = GUARD + int(misaligned)
    out = buffer[first:][: torch.Size(shape).numel()].view(shape)
    assert (out.data_ptr() % 16 != 0) == misaligned
    arguments = {
        "images": images.data_ptr(),
        "count": len(images),
        "height": height,
        "width": width,
        "channels": channels,
        "padding": padding,
        "mean": mean,
        "std": std,
        "index": index.data_ptr(),
        "wide_index": index.dtype == torch.int64,
        "offset_y": offset_y.data_ptr(),
        "offset_x": offset_x.data_ptr(),
        "flip": flip.data_ptr(),
        "out": out.data_ptr(),
        "batch": len(index),
    }
    name = str(dtype).removeprefix("torch.")
    _emulation.images(name, arguments, order, 0, most_blocks)
    assert buffer[:first].isnan().all(), "written before the output"
    assert buffer[first + out.numel() :].isnan().all(), "written beyond the output"
    return out.permute(0, 3, 1, 2)
