"""The image kernel in host emulation against NumPy, to the bit: crops, tails, dtypes and grids."""

import numpy as np
import pytest
import torch

from tests.data.image_cases import (
    DTYPES,
    SHAPES,
    assert_same_bits,
    every_crop,
    expected_batch,
    make_case,
)
from tests.emulation.emulated_images import THREADS, emulated_images

SMALL_SHAPES = [shape for shape in SHAPES if shape != (32, 32, 3)]
EVERY_SHAPE = pytest.mark.parametrize("shape", SHAPES, ids=str)
EVERY_DTYPE = pytest.mark.parametrize("dtype", DTYPES, ids=str)


def check(case, what="", **options):
    assert_same_bits(emulated_images(*case, **options), expected_batch(case), what)


@EVERY_DTYPE
@pytest.mark.parametrize("padding", range(5))
@pytest.mark.parametrize("shape", SMALL_SHAPES, ids=str)
def test_every_crop_and_flip(shape, padding, dtype):
    check(every_crop(shape, padding, dtype))


def test_every_crop_and_flip_of_cifar():
    check(every_crop((32, 32, 3), 4))


@EVERY_DTYPE
@EVERY_SHAPE
def test_batches_around_the_edges_of_a_block(shape, dtype):
    vector = 16 // dtype.itemsize
    per_block = max(1, THREADS * vector // int(np.prod(shape)))
    sizes = {1, 2, 3, 4, 5, 7, 8, 9, per_block - 1, per_block, per_block + 1, 2 * per_block + 3}
    for batch in sorted(size for size in sizes if 1 <= size <= 2000):
        if batch * int(np.prod(shape)) <= 40_000:
            check(make_case(shape, batch, 2, dtype), f"B = {batch}")


@EVERY_DTYPE
@pytest.mark.parametrize("most_blocks", [1, 2, 5, 1000])
def test_any_number_of_blocks_to_an_image(most_blocks, dtype):
    for shape in ((32, 32, 3), (33, 31, 3)):
        check(make_case(shape, 3, 4, dtype), str(shape), most_blocks=most_blocks)


@pytest.mark.parametrize("order", ["ascending", "descending", "random"])
@EVERY_SHAPE
def test_any_order_of_threads_and_blocks(order, shape):
    check(make_case(shape, 5, 1), order=order)


@EVERY_DTYPE
@EVERY_SHAPE
def test_an_output_that_no_vector_can_be_stored_to(shape, dtype):
    for batch in (1, 4, 6):
        check(make_case(shape, batch, 2, dtype), f"B = {batch}", misaligned=True)


@pytest.mark.parametrize("channels", range(1, 17))
def test_every_number_of_channels(channels):
    for dtype in DTYPES:
        check(make_case((6, 5, channels), 7, 1, dtype), str(dtype))


def test_a_narrow_index_and_boolean_flips():
    case = make_case((7, 5, 3), 50, 2)
    narrow = case._replace(index=case.index.int(), flip=case.flip.bool())
    assert_same_bits(emulated_images(*narrow), expected_batch(case))


@pytest.mark.parametrize("seed", range(8))
def test_every_pixel_value_is_rounded_as_a_division_is(seed):
    # 16 normalisations at a time, from one that hardly changes a pixel to extreme ones.
    rng = np.random.default_rng(seed)
    pixels = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1).expand(1, 16, 16, 16)
    size = 10.0 ** rng.uniform(-1 - 2 * seed, 1 + 2 * seed, (2, 16))
    mean = size[0] * rng.choice([-1, 0, 1], 16)
    case = make_case((16, 16, 16), 1, 0, n=1)._replace(
        images=pixels.contiguous(), mean=mean.tolist(), std=size[1].tolist()
    )
    check(case)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("index", -1),
        ("index", 11),
        ("index", 2**40),
        ("index", -(2**63)),
        ("offset_y", 5),
        ("offset_x", 5),
        ("offset_x", 255),
    ],
)
@pytest.mark.parametrize("shape", [(32, 32, 3), (7, 5, 3), (1, 1, 1)], ids=str)
def test_an_entry_out_of_range_makes_its_own_image_nan_and_no_other(shape, name, value):
    case = make_case(shape, 6, 2)
    entries = getattr(case, name).clone()
    entries[2] = value
    got = emulated_images(*case._replace(**{name: entries}))
    assert got[2].isnan().all()
    others = torch.tensor([0, 1, 3, 4, 5])
    assert_same_bits(got[others], expected_batch(case)[others])
