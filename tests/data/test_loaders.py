"""All loaders: the same pixels as a reference worked out pixel by pixel, and sound epochs."""

from itertools import islice

import numpy as np
import pytest
import torch

from ffdwv_fast.data.augmentation import EpochPlan
from ffdwv_fast.data.dataset import Dataset
from ffdwv_fast.data.loader import LOADERS, make_loader
from ffdwv_fast.errors import InputError
from tests.data.samples import cifar_like, digits_like

DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
# The normalised scale is about 1: a few float32 roundings.
TOLERANCE = 1e-5
# Against the torch loader, which is the reference: the gpu loader rounds where it does.
TOLERANCE_TO_TORCH = {"dali": TOLERANCE, "gpu": 0.0}


def expected_image(dataset: Dataset, plan: EpochPlan, index: int) -> np.ndarray:
    """Image ``index`` as the plan has it, float64 [C, H, W]: black outside, index by index."""
    image = dataset.train.images[index]
    height, width, channels = image.shape
    out = np.zeros((channels, height, width))
    for row in range(height):
        for column in range(width):
            mirrored = width - 1 - column if plan.flip[index] else column
            y = row + plan.offset_y[index] - dataset.padding
            x = mirrored + plan.offset_x[index] - dataset.padding
            if 0 <= y < height and 0 <= x < width:
                out[:, row, column] = image[y, x]
    mean, std = (np.array(values)[:, None, None] for values in (dataset.mean, dataset.std))
    return (out / 255 - mean) / std


def whole_epoch(loader, epoch: int) -> tuple[torch.Tensor, torch.Tensor]:
    """All images and labels of an epoch, on the CPU."""
    images, labels = zip(*loader.epoch(epoch), strict=True)
    return torch.cat(images).cpu(), torch.cat(labels).cpu()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("augment", [True, False])
@pytest.mark.parametrize("epoch", [0, 5])
@pytest.mark.parametrize("seed", [0, 12345])
@pytest.mark.parametrize("dataset", [cifar_like(150), digits_like(150)], ids=lambda d: d.name)
def test_pixels_and_labels_are_those_of_the_reference(
    loader, dataset, seed, epoch, augment, device
):
    loader = loader(dataset, seed=seed, augment=augment, device=device)
    plan = loader.plan(epoch)
    images, labels = whole_epoch(loader, epoch)
    expected = np.stack([expected_image(dataset, plan, index) for index in plan.order])
    np.testing.assert_allclose(images.numpy(), expected, rtol=0, atol=TOLERANCE)
    np.testing.assert_array_equal(labels.numpy(), dataset.train.labels[plan.order])


@pytest.mark.parametrize("kind", TOLERANCE_TO_TORCH, indirect=True)
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("augment", [True, False])
@pytest.mark.parametrize(("seed", "epoch"), [(0, 0), (12345, 5)])
@pytest.mark.parametrize("dataset", [cifar_like(1000), digits_like(1000)], ids=lambda d: d.name)
def test_batches_are_those_of_the_torch_loader(
    loader, kind, open_loader, dataset, seed, epoch, augment, half, device
):
    settings = {"seed": seed, "augment": augment, "device": device, "half": half}
    reference = open_loader("torch", dataset, **settings)
    bound = TOLERANCE_TO_TORCH[kind]
    if half and bound:
        bound += 2**-9  # an ulp of numbers below 4: float32 values on both sides of a tie
    batches = zip(loader(dataset, **settings).epoch(epoch), reference.epoch(epoch), strict=True)
    for a, b in batches:
        torch.testing.assert_close(a.images, b.images, rtol=0, atol=bound)
        assert torch.equal(a.labels, b.labels)


@pytest.mark.parametrize("padding", range(9))
def test_every_offset_and_flip_is_exact(loader, padding):
    dataset = digits_like(2 * (2 * padding + 1) ** 2)
    dataset = Dataset(**{**vars(dataset), "padding": padding})
    offsets = np.arange(2 * padding + 1)
    y, x, flip = (grid.ravel() for grid in np.meshgrid(offsets, offsets, [False, True]))
    plan = EpochPlan(np.arange(len(y)), y, x, flip)
    loader = loader(dataset)
    loader.plan = lambda epoch: plan
    images, _ = whole_epoch(loader, 0)
    expected = np.stack([expected_image(dataset, plan, index) for index in plan.order])
    np.testing.assert_allclose(images.numpy(), expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("device", DEVICES)
def test_half_is_the_float32_batch_rounded(loader, device):
    dataset = cifar_like(100)
    half, _ = whole_epoch(loader(dataset, half=True, device=device), 0)
    full, _ = whole_epoch(loader(dataset, device=device), 0)
    assert half.dtype == torch.float16
    # Half an ulp of numbers below 4, and the loaders' own roundings at a tie.
    torch.testing.assert_close(half.float(), full, rtol=0, atol=2**-10 + TOLERANCE)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("batch_size", [1, 64, 600])
@pytest.mark.parametrize("dataset", [cifar_like(610), digits_like(610)], ids=lambda d: d.name)
def test_batches_are_channels_last_on_the_device(loader, dataset, batch_size, half, device):
    channels, height, width = dataset.image_shape
    for images, labels in loader(dataset, batch_size=batch_size, half=half, device=device).epoch(0):
        assert images.shape == (len(labels), channels, height, width)
        assert images.stride() == (height * width * channels, 1, width * channels, channels)
        assert images.dtype == (torch.float16 if half else torch.float32)
        assert labels.dtype == torch.int64
        assert images.device.type == labels.device.type == device


@pytest.mark.parametrize(
    ("n", "batch_size", "sizes"),
    [(10, 4, [4, 4, 2]), (8, 4, [4, 4]), (3, 4, [3]), (1, 1, [1]), (5000, 4096, [4096, 904])],
)
def test_the_last_smaller_batch_is_kept(loader, n, batch_size, sizes):
    loader = loader(digits_like(n), batch_size=batch_size)
    assert [len(labels) for _, labels in loader.epoch(0)] == sizes
    assert loader.batches_per_epoch == len(sizes)
    assert loader.images_per_epoch == n


def test_no_images_give_no_batches(loader):
    loader = loader(digits_like(0))
    assert list(loader.epoch(0)) == []
    assert loader.batches_per_epoch == 0


def test_every_image_comes_once_with_its_label(loader):
    dataset = cifar_like(500)
    # Red pixels spell the image's number in binary, down a green line that no crop removes.
    bits = (np.arange(500)[:, None] >> np.arange(9)) & 1
    dataset.train.images[:] = 0
    dataset.train.images[:, 12:21, 16, 0] = 255 * bits
    dataset.train.images[:, 12:21, 16, 1] = 255
    images, labels = whole_epoch(loader(dataset), 3)
    seen = []
    for image in images.numpy():
        rows, columns = np.nonzero(image[1] > 0)
        seen.append(sum(2**bit * (image[0, rows[bit], columns[0]] > 0) for bit in range(9)))
    assert sorted(seen) == list(range(500))
    np.testing.assert_array_equal(labels.numpy(), dataset.train.labels[np.array(seen)])


@pytest.mark.parametrize("device", DEVICES)
def test_batches_stay_valid_while_they_are_held(loader, device):
    loader = loader(cifar_like(2000), batch_size=32, device=device)
    held, copies = [], []
    for epoch in range(2):
        for batch in loader.epoch(epoch):
            held.append(batch)
            copies.append(batch.images.clone())
    list(loader.epoch(2))
    assert all(torch.equal(batch.images, copy) for batch, copy in zip(held, copies, strict=True))


def test_batches_outlive_their_loader(loader):
    loader = loader(cifar_like(100))
    batches = list(loader.epoch(0))
    copies = [batch.images.clone() for batch in batches]
    loader.close()
    del loader
    assert all(torch.equal(batch.images, copy) for batch, copy in zip(batches, copies, strict=True))


def test_what_a_consumer_does_to_a_batch_changes_no_other(loader):
    loader = loader(cifar_like(500))
    images, labels = whole_epoch(loader, 0)
    changed = loader.epoch(0)
    for start in range(0, 500, 64):
        batch = next(changed)
        assert torch.equal(batch.images, images[start : start + 64])
        assert torch.equal(batch.labels, labels[start : start + 64])
        batch.images.zero_()
        batch.labels.zero_()
    assert torch.equal(whole_epoch(loader, 0)[0], images)
    assert torch.equal(whole_epoch(loader, 0)[1], labels)


@pytest.mark.parametrize("taken", [0, 1, 5, 15])
def test_an_epoch_may_be_left_in_the_middle(loader, taken):
    dataset = digits_like(1000)
    loader = loader(dataset)
    expected, _ = whole_epoch(loader, 1)
    left = loader.epoch(0)
    list(islice(left, taken))
    images, _ = whole_epoch(loader, 1)
    assert torch.equal(images, expected)


def test_epochs_may_come_in_any_order(loader):
    loader = loader(digits_like(300))
    first = {epoch: whole_epoch(loader, epoch)[0] for epoch in (0, 1, 2)}
    for epoch in (2, 0, 1, 1):
        assert torch.equal(whole_epoch(loader, epoch)[0], first[epoch])
    assert not torch.equal(first[0], first[1])


def test_a_resumed_run_sees_the_same_images(loader):
    dataset = digits_like(300)
    whole_run = loader(dataset)
    whole_epoch(whole_run, 0)
    assert torch.equal(whole_epoch(whole_run, 1)[0], whole_epoch(loader(dataset), 1)[0])


def test_batch_size_changes_only_where_the_epoch_is_cut(loader):
    dataset = digits_like(1000)
    small, large = loader(dataset, batch_size=7), loader(dataset, batch_size=900)
    assert torch.equal(whole_epoch(small, 0)[0], whole_epoch(large, 0)[0])


@pytest.mark.parametrize(("augment", "shuffle"), [(True, False), (False, True), (True, None)])
def test_shuffle_can_differ_from_augment(loader, augment, shuffle):
    loader = loader(digits_like(300), augment=augment, shuffle=shuffle)
    in_order = np.array_equal(loader.plan(0).order, np.arange(300))
    assert in_order == (shuffle is False)
    assert (loader.plan(0).offset_y == 1).all() == (not augment)


def test_an_epoch_leaves_the_global_random_states_alone(loader):
    loader = loader(digits_like(100))
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    whole_epoch(loader, 0)
    assert torch.equal(torch.get_rng_state(), torch_state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)


def test_close_may_be_called_twice(loader):
    loader = loader(digits_like(100))
    next(loader.epoch(0))
    loader.close()
    loader.close()


def test_an_epoch_that_another_replaced_says_so(loader):
    loader = loader(digits_like(1000))
    replaced = loader.epoch(0)
    next(replaced)
    next(loader.epoch(1))
    with pytest.raises(RuntimeError, match="this epoch ended when the loader started another"):
        next(replaced)


def test_an_epoch_whose_loader_was_closed_says_so(loader):
    loader = loader(digits_like(1000))
    begun, not_begun = loader.epoch(0), loader.epoch(1)
    next(begun)
    loader.close()
    for epoch in (begun, not_begun):
        with pytest.raises(RuntimeError, match="closed"):
            next(epoch)


def test_a_closed_loader_has_no_epochs(loader):
    loader = loader(digits_like(100))
    loader.close()
    with pytest.raises(RuntimeError, match="this loader is closed: make another"):
        loader.epoch(0)


def test_a_loader_has_the_name_it_was_asked_for_by(loader, kind):
    assert kind in LOADERS
    assert loader(digits_like(1)).name == kind


def test_workers_prepare_the_batches_that_the_caller_would(open_loader):
    dataset = digits_like(100)
    alone, helped = (open_loader("torch", dataset, workers=workers) for workers in (0, 2))
    assert helped.workers == 2
    for here, there in zip(alone.epoch(3), helped.epoch(3), strict=True):
        assert torch.equal(here.images, there.images)
        assert torch.equal(here.labels, there.labels)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "ffcv"}, "loader 'ffcv': expected one of dali, gpu, torch"),
        ({"batch_size": 0}, "batch size 0: expected 1 or more"),
        ({"batch_size": -4}, "batch size -4: expected 1 or more"),
        ({"seed": -1}, "seed -1: expected a whole number from 0"),
        ({"workers": -1}, "workers -1: expected 0 or more"),
        (
            {"kind": "gpu", "workers": 2},
            "workers 2: the gpu loader has none; use 0, or loader torch",
        ),
        ({"device": "tpu"}, "device 'tpu': expected auto, cpu, cuda or cuda:N"),
        ({"device": "mps"}, "device 'mps': expected auto, cpu, cuda or cuda:N"),
        (
            {"device": "cuda:99"},
            r"device 'cuda:99': torch .* sees \d+ CUDA devices here; use device cpu",
        ),
    ],
)
def test_bad_settings_are_input_errors(changes, message):
    dataset = digits_like(10)
    settings = {"kind": "torch", "batch_size": 4, "device": "cpu", "seed": 0, "augment": True}
    with pytest.raises(InputError, match=message):
        make_loader(images=dataset.train, dataset=dataset, **settings | changes)


def test_bad_epoch_is_an_input_error_at_once(loader):
    with pytest.raises(InputError, match="epoch -1: expected a whole number from 0"):
        loader(digits_like(10)).epoch(-1)
