"""The image op on the CPU against NumPy, to the bit, and what it refuses."""

import pytest
import torch

from ffdwv_fast.data import image_op
from ffdwv_fast.data.image_op import augment_images
from tests.data.image_cases import (
    DTYPES,
    SHAPES,
    assert_same_bits,
    every_crop,
    expected_batch,
    make_case,
)

pytestmark = pytest.mark.skipif(
    image_op.WHY_NOT_NATIVE is not None, reason=str(image_op.WHY_NOT_NATIVE)
)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("padding", range(5))
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_crop_and_flip(shape, padding, dtype):
    case = every_crop(shape, padding, dtype)
    assert_same_bits(augment_images(*case), expected_batch(case))


@pytest.mark.parametrize("padding", [100, 127])
def test_crops_that_show_padding_alone(padding):
    case = make_case((7, 5, 3), 300, padding)
    assert_same_bits(augment_images(*case), expected_batch(case))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_batch_is_channels_last(shape):
    h, w, c = shape
    batch = augment_images(*make_case(shape, 3, 1))
    assert batch.shape == (3, c, h, w)
    assert batch.stride() == (h * w * c, 1, w * c, c)


def test_a_narrow_index_and_boolean_flips():
    case = make_case((7, 5, 3), 50, 2)
    narrow = case._replace(index=case.index.int(), flip=case.flip.bool())
    assert_same_bits(augment_images(*narrow), expected_batch(case))


@pytest.mark.parametrize("n", [11, 0])
def test_a_plan_without_entries_gives_an_empty_batch(n):
    case = make_case((7, 5, 3), 0, 2, n=max(n, 1))
    assert augment_images(*case._replace(images=case.images[:n])).shape == (0, 3, 7, 5)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("index", 11, r"index\[2\] = 11 is outside \[0, 11\)"),
        ("index", -1, r"index\[2\] = -1 is outside \[0, 11\)"),
        ("index", 2**40, r"index\[2\] = 1099511627776 is outside"),
        ("offset_y", 5, r"offset_y\[2\] = 5 is outside \[0, 5\)"),
        ("offset_x", 255, r"offset_x\[2\] = 255 is outside \[0, 5\)"),
    ],
)
def test_an_entry_out_of_range_is_an_error_that_names_it(name, value, message):
    case = make_case((7, 5, 3), 6, 2)
    getattr(case, name)[2] = value
    with pytest.raises(IndexError, match=message):
        augment_images(*case)


CASE = make_case((7, 5, 3), 6, 2)
BAD_ARGUMENTS = {
    "floats for images": (dict(images=CASE.images.float()), "images must be uint8"),
    "one image": (dict(images=CASE.images[0]), "images must be uint8"),
    "channels first": (dict(images=CASE.images.permute(0, 3, 1, 2)), "contiguous"),
    "17 channels": (dict(images=torch.zeros(1, 2, 2, 17, dtype=torch.uint8)), "1 to 16 channels"),
    "no pixels": (dict(images=CASE.images[:, :0]), "an image must have 1 to"),
    "an index of two dimensions": (dict(index=CASE.index[:, None]), "index must be"),
    "an index of floats": (dict(index=CASE.index.float()), "index must be"),
    "a strided index": (dict(index=CASE.index.repeat_interleave(2)[::2]), "index must be"),
    "too few offsets": (dict(offset_y=CASE.offset_y[:5]), "offset_y and offset_x must be"),
    "wide offsets": (dict(offset_x=CASE.offset_x.long()), "offset_y and offset_x must be"),
    "boolean offsets": (dict(offset_x=CASE.offset_x.bool()), "offset_y and offset_x must be"),
    "too many flips": (dict(flip=CASE.flip.repeat(2)), "flip must be"),
    "flips of floats": (dict(flip=CASE.flip.float()), "flip must be"),
    "a mean for one channel": (dict(mean=[0.5]), "a number for each channel"),
    "an infinite mean": (dict(mean=[0.5, 0.5, float("inf")]), "a mean must be"),
    "a negative std": (dict(std=[0.5, 0.5, -0.5]), "std must be"),
    "a std of nearly zero": (dict(std=[0.5, 0.5, 1e-30]), "std must be"),
    "negative padding": (dict(padding=-1), "padding must be 0 to 127"),
    "too much padding": (dict(padding=128), "padding must be 0 to 127"),
    "float64": (dict(dtype=torch.float64), "dtype must be float32, float16 or bfloat16"),
}


@pytest.mark.parametrize(("changes", "message"), BAD_ARGUMENTS.values(), ids=BAD_ARGUMENTS)
def test_what_a_kernel_could_not_run_on_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        augment_images(*CASE._replace(**changes))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_torch_finds_the_registration_sound(dtype):
    torch.library.opcheck(
        torch.ops.ffdwv_fast.augment_images.default, make_case((7, 5, 3), 6, 2, dtype)
    )


def test_a_compiled_graph_holds_it_whole():
    case = make_case((8, 8, 1), 6, 1)
    compiled = torch.compile(
        lambda *call: augment_images(*call) * 2, fullgraph=True, backend="eager"
    )
    assert_same_bits(compiled(*case), expected_batch(case) * 2)
