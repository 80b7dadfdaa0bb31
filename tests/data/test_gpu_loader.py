"""What only the resident loader can get wrong."""

from dataclasses import replace

import pytest
import torch

from ffdwv_fast.data import gpu_loader, image_op
from ffdwv_fast.errors import InputError
from tests.data.samples import cifar_like, digits_like


@pytest.fixture
def gpu(open_loader):
    """A function that makes a gpu loader of a data set's training part."""
    reason = image_op.why_not_on(torch.device("cpu"))
    if reason is not None:
        pytest.skip(reason)
    return lambda dataset, **settings: open_loader("gpu", dataset, **settings)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_pixels_are_the_same_for_any_number_of_threads(gpu, threads):
    before = torch.get_num_threads()
    loader = gpu(cifar_like(200), batch_size=100)
    expected = [batch.images for batch in loader.epoch(0)]
    try:
        torch.set_num_threads(threads)
        got = [batch.images for batch in loader.epoch(0)]
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))


def test_on_a_cpu_the_images_are_not_copied(gpu):
    dataset = cifar_like(100)
    loader = gpu(dataset)
    before = next(loader.epoch(0)).images
    dataset.train.images[:] = 255
    assert not torch.equal(next(loader.epoch(0)).images, before)


def test_images_that_are_not_contiguous_are_served(gpu):
    dataset = cifar_like(100)
    turned = dataset.train.images.transpose(0, 2, 1, 3)
    expected = gpu(replace(dataset, train=replace(dataset.train, images=turned.copy())))
    loader = gpu(replace(dataset, train=replace(dataset.train, images=turned)))
    for a, b in zip(loader.epoch(0), expected.epoch(0), strict=True):
        assert torch.equal(a.images, b.images)


def test_without_the_native_library_the_error_names_the_command_and_the_other_loader(
    monkeypatch, open_loader
):
    monkeypatch.setattr(image_op, "WHY_NOT_NATIVE", "the native library is not built")
    with pytest.raises(InputError, match=r"is not built; .*pip install.*--loader torch") as raised:
        open_loader("gpu", digits_like(10))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"padding": 128}, r"padding must be 0 to 127; use --loader torch"),
        ({"std": (0.0,)}, r"std must be from 1e-18 to 1e18; use --loader torch"),
        ({"mean": (float("nan"),)}, r"a mean must be 0 or of a size"),
        ({"mean": (0.5, 0.5)}, r"mean and std must have a number for each channel"),
    ],
)
def test_what_the_kernel_is_not_made_for_is_an_input_error(gpu, changes, message):
    with pytest.raises(InputError, match=message) as raised:
        gpu(replace(digits_like(10), **changes))
    assert "\n" not in str(raised.value)


def test_images_that_do_not_fit_are_an_input_error_that_names_a_way_out(gpu, monkeypatch):

    def refuse(values):
        raise torch.cuda.OutOfMemoryError

    monkeypatch.setattr(gpu_loader.torch, "from_numpy", refuse)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 2000))
    with pytest.raises(InputError, match=r"640 bytes .* 1,000 bytes .*--loader dali or torch"):
        gpu(digits_like(10))
