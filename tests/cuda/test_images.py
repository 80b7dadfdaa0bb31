"""The image op and the loader that is made of it: as on a CPU, to the bit, and never waiting."""

import pytest
import torch

from ffdwv_fast.data.image_op import augment_images
from ffdwv_fast.data.loader import make_loader
from tests.cuda.device import put_to_sleep, synchronize, waiting_is_an_error
from tests.cuda.test_graphs import capture
from tests.cuda.test_launches import launched
from tests.data.image_cases import (
    DTYPES,
    SHAPES,
    assert_same_bits,
    every_crop,
    expected_batch,
    make_case,
)
from tests.data.samples import cifar_like, digits_like
from tests.loss.cases import skip_below

EVERY_SHAPE = pytest.mark.parametrize("shape", SHAPES, ids=str)
EVERY_DTYPE = pytest.mark.parametrize("dtype", DTYPES, ids=str)
PLAN = ("index", "offset_y", "offset_x", "flip")


@EVERY_DTYPE
@EVERY_SHAPE
def test_every_crop_and_flip(shape, dtype, device):
    for padding in range(5):
        case = every_crop(shape, padding, dtype)
        got = augment_images(*case.to(device))
        assert_same_bits(got, expected_batch(case), f"padding {padding}")


@EVERY_DTYPE
@EVERY_SHAPE
def test_batches_that_end_anywhere_in_a_block(shape, dtype, device):
    for batch in (1, 2, 3, 5, 8, 63, 64, 65, 1000):
        case = make_case(shape, batch, 2, dtype)
        assert_same_bits(augment_images(*case.to(device)), expected_batch(case), f"B = {batch}")


@EVERY_DTYPE
def test_every_pixel_value_is_rounded_as_a_division_is(dtype, device):
    pixels = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1)
    for seed in range(50):
        case = make_case((16, 16, 16), 1, 0, dtype, n=1, seed=seed)
        case = case._replace(images=pixels.expand(1, 16, 16, 16).contiguous())
        assert_same_bits(augment_images(*case.to(device)), expected_batch(case), f"seed {seed}")


@pytest.mark.gpu_only("a CPU raises an IndexError")
@EVERY_DTYPE
@pytest.mark.parametrize(
    ("name", "value"),
    [("index", -1), ("index", 11), ("index", 2**40), ("offset_y", 5), ("offset_x", 255)],
)
def test_an_entry_out_of_range_makes_its_own_image_nan_and_no_other(name, value, dtype, device):
    for shape in SHAPES:
        case = make_case(shape, 6, 2, dtype)
        want = expected_batch(case)
        getattr(case, name)[2] = value
        got = augment_images(*case.to(device))
        synchronize(device)
        assert got[2].isnan().all()
        others = [0, 1, 3, 4, 5]
        assert_same_bits(got[others], want[others], str(shape))


@pytest.mark.parametrize("which", ["images", "batch"])
def test_more_values_than_32_bits_can_count(which, device):
    values = 2**31 if device != "cpu" else 2**21
    n = values // 3072 + 2
    if device != "cpu":
        skip_below(device, 12)
    case = make_case((32, 32, 3), 8, 4, torch.float16).to(device)
    if which == "images":
        images = case.images.repeat(n // len(case.images) + 1, 1, 1, 1)
        first = len(images) - len(case.images)
        got = augment_images(*case._replace(images=images, index=case.index + first))
        assert_same_bits(got, expected_batch(case))
        return
    times = n // 8 + 1
    many = case._replace(**{name: getattr(case, name).repeat(times) for name in PLAN})
    first, *others = augment_images(*many).split(8)
    assert_same_bits(first, expected_batch(case))
    assert len(others) == times - 1
    assert all(torch.equal(other, first) for other in others)


@pytest.mark.gpu_only("a CPU has no streams")
def test_runs_on_the_current_stream(device):
    case = make_case((32, 32, 3), 64, 4)
    there = case.to(device)
    late = there._replace(index=torch.zeros_like(there.index))
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        augment_images(*late)  # leaves memory for the next
        torch.cuda.synchronize()
        awake = put_to_sleep()
        late.index.copy_(there.index)
        got = augment_images(*late)
        launched_in_time = not awake.query()
    torch.cuda.synchronize()
    assert launched_in_time, "the stream woke before the op was launched: the test showed nothing"
    assert_same_bits(got, expected_batch(case))


@pytest.mark.gpu_only("a CPU has no graphs")
@EVERY_DTYPE
def test_replays_with_other_plans_are_eager_calls(dtype, device):
    buffers = make_case((32, 32, 3), 100, 4, dtype).to(device)
    graph, got = capture(lambda: augment_images(*buffers))
    for seed in range(1, 4):
        plan = make_case((32, 32, 3), 100, 4, dtype, seed=seed)
        for name in PLAN:
            getattr(buffers, name).copy_(getattr(plan, name))
        graph.replay()
        assert_same_bits(got, expected_batch(buffers.to("cpu")), f"seed {seed}")


@pytest.mark.gpu_only("a CPU has no launches")
@pytest.mark.parametrize("batch", [1, 128, 4096])
def test_a_batch_is_one_kernel(batch, device):
    case = make_case((32, 32, 3), batch, 4, torch.float16).to(device)
    names = launched(lambda: augment_images(*case), device)
    assert len(names) == 1, names
    assert "augment_images" in names[0]


@pytest.mark.gpu_only("a CPU is one device")
def test_a_plan_on_another_device_is_refused(device):
    case = make_case((7, 5, 3), 6, 2)
    for name in PLAN:
        stray = case.to(device)._replace(**{name: getattr(case, name)})
        with pytest.raises(ValueError, match="the plan must be on the device of the images"):
            augment_images(*stray)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("dataset", [cifar_like(1000), digits_like(1000)], ids=lambda d: d.name)
def test_the_loader_gives_the_batches_that_it_gives_on_a_cpu(dataset, half, device):
    settings = {"batch_size": 96, "seed": 3, "augment": True, "half": half}
    here = make_loader("gpu", dataset.train, dataset, device="cpu", **settings)
    there = make_loader("gpu", dataset.train, dataset, device=device, **settings)
    for epoch in (0, 4):
        for a, b in zip(there.epoch(epoch), here.epoch(epoch), strict=True):
            assert_same_bits(a.images, b.images)
            assert torch.equal(a.labels.cpu(), b.labels)


@pytest.mark.gpu_only("a CPU is not waited for")
def test_an_epoch_of_the_loader_asks_torch_for_no_wait(device):
    dataset = cifar_like(1000)
    settings = {"batch_size": 96, "device": device, "seed": 3, "augment": True}
    loader = make_loader("gpu", dataset.train, dataset, **settings)
    want = list(loader.epoch(1))
    with waiting_is_an_error():
        got = list(loader.epoch(1))
    for a, b in zip(got, want, strict=True):
        assert torch.equal(a.images, b.images)
        assert torch.equal(a.labels, b.labels)
