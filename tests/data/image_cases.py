"""Calls of augment_images, and what they have to give, from np.pad, a slice and a flip."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
# (H, W, C): the data sets', odd ones whose images begin anywhere, and single pixels.
SHAPES = [(32, 32, 3), (8, 8, 1), (7, 5, 3), (5, 7, 4), (1, 1, 1), (1, 9, 2), (3, 1, 16)]


class ImageCase(NamedTuple):
    """The arguments of augment_images."""

    images: Tensor
    index: Tensor
    offset_y: Tensor
    offset_x: Tensor
    flip: Tensor
    mean: list[float]
    std: list[float]
    padding: int
    dtype: torch.dtype

    def to(self, device: str) -> "ImageCase":
        return ImageCase(*(v.to(device) if isinstance(v, Tensor) else v for v in self))


def make_case(
    shape: tuple[int, int, int],
    batch: int,
    padding: int,
    dtype: torch.dtype = torch.float32,
    *,
    n: int = 11,
    seed: int = 0,
) -> ImageCase:
    """Random images, entries and normalisation."""
    rng = np.random.default_rng([seed, batch, padding, *shape])

    def entries(end: int) -> Tensor:
        return torch.from_numpy(rng.integers(0, end, batch, dtype=np.uint8))

    return ImageCase(
        images=torch.from_numpy(rng.integers(0, 256, (n, *shape), dtype=np.uint8)),
        index=torch.from_numpy(rng.integers(0, n, batch)),
        offset_y=entries(2 * padding + 1),
        offset_x=entries(2 * padding + 1),
        flip=entries(2),
        mean=rng.uniform(0.2, 0.6, shape[2]).tolist(),
        std=rng.uniform(0.1, 0.4, shape[2]).tolist(),
        padding=padding,
        dtype=dtype,
    )


def every_crop(
    shape: tuple[int, int, int], padding: int, dtype: torch.dtype = torch.float32
) -> ImageCase:
    """All offsets, flipped and not."""
    offsets = torch.arange(2 * padding + 1, dtype=torch.uint8)
    flips = torch.tensor([0, 1], dtype=torch.uint8)
    crops = torch.cartesian_prod(offsets, offsets, flips)
    y, x, flip = (column.contiguous() for column in crops.T)
    case = make_case(shape, len(crops), padding, dtype)
    return case._replace(offset_y=y, offset_x=x, flip=flip)


def expected_batch(case: ImageCase) -> Tensor:
    """[B, C, H, W] by NumPy: float32 arithmetic, step by step, then the cast."""
    height, width = case.images.shape[1:3]
    around = ((0, 0), (case.padding,) * 2, (case.padding,) * 2, (0, 0))
    padded = np.pad(case.images.cpu().numpy(), around)
    crops = []
    for i, y, x, flip in zip(*(entry.tolist() for entry in case[1:5]), strict=True):
        crop = padded[i, y : y + height, x : x + width]
        crops.append(crop[:, ::-1] if flip else crop)
    mean, std = np.float32(case.mean), np.float32(case.std)
    values = (np.stack(crops) / np.float32(255) - mean) / std
    return torch.from_numpy(values).to(case.dtype).permute(0, 3, 1, 2)


def assert_same_bits(got: Tensor, want: Tensor, what: str = "") -> None:
    """Equal to the bit, -0 and NaN included."""
    assert got.shape == want.shape, what
    assert got.dtype == want.dtype, what
    integer = torch.int32 if got.dtype == torch.float32 else torch.int16
    got, want = got.detach().cpu().contiguous(), want.detach().cpu().contiguous()
    differ = (got.view(integer) != want.view(integer)).nonzero()
    if len(differ):
        first = tuple(differ[0].tolist())
        raise AssertionError(
            f"{what}: {len(differ)} of {got.numel()} values differ, the first at {first}: "
            f"{got[first].item()!r}, expected {want[first].item()!r}"
        )
