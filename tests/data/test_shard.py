"""The parts of the batches that several processes have."""

import numpy as np
import pytest
import torch

from ffdwv_fast.data.shard import Shard
from ffdwv_fast.errors import InputError
from tests.data.samples import digits_like

WORLD_SIZES = range(1, 6)
SIZES = pytest.mark.parametrize(("n", "batch_size"), [(103, 20), (41, 20), (3, 5), (21, 7)])


def parts_of_batches(make, dataset, count, batch_size, first=0):
    """Of each process the batches of epoch 3; all have as many."""
    loaders = [
        make(dataset, batch_size=batch_size, shard=Shard(rank, count)) for rank in range(count)
    ]
    return list(zip(*(each.epoch(3, first) for each in loaders), strict=True)), loaders[0]


@SIZES
@pytest.mark.parametrize("count", WORLD_SIZES)
def test_every_image_is_in_one_part_of_its_batch(n, batch_size, count):
    order = np.random.default_rng(0).permutation(n)
    parts = [Shard(rank, count).of(order, batch_size) for rank in range(count)]
    assert sorted(np.concatenate(parts)) == list(range(n))
    for start in range(0, n, batch_size):
        batch = order[start : start + batch_size]
        shares = [np.isin(part, batch).sum() for part in parts]
        assert shares == [Shard(rank, count).size(len(batch)) for rank in range(count)]
        assert max(shares) - min(shares) <= 1


@SIZES
@pytest.mark.parametrize("count", WORLD_SIZES)
def test_the_parts_of_all_processes_are_the_batches_of_one(loader, n, batch_size, count):
    assert_parts_of_batches(loader, n, batch_size, count, first=0)


@pytest.mark.parametrize("first", [1, 5, 6])
def test_an_epoch_that_is_gone_on_with_has_the_same_parts(loader, first):
    assert_parts_of_batches(loader, 103, 20, 3, first)


def assert_parts_of_batches(loader, n, batch_size, count, first):
    dataset = digits_like(n)
    batches = list(loader(dataset, batch_size=batch_size).epoch(3, first))
    parts, one = parts_of_batches(loader, dataset, count, batch_size, first)
    assert len(parts) == len(batches) == max(0, one.batches_per_epoch - first)
    for k, (batch, shares) in enumerate(zip(batches, parts, strict=True), first):
        images, labels = torch.empty_like(batch.images), torch.empty_like(batch.labels)
        for rank, share in enumerate(shares):
            images[rank::count], labels[rank::count] = share
        assert torch.equal(images, batch.images)
        assert torch.equal(labels, batch.labels)
        assert len(labels) == one.images_in(k)


def test_a_part_without_images_is_an_empty_batch_like_the_others(loader):
    dataset = digits_like(9)
    parts, _ = parts_of_batches(loader, dataset, 3, 4)
    assert [[len(part.labels) for part in batch] for batch in parts] == [
        [2, 1, 1],
        [2, 1, 1],
        [1, 0, 0],
    ]
    some, none = parts[0][2], parts[2][2]
    assert none.images.shape[1:] == some.images.shape[1:]
    assert none.images.dtype == some.images.dtype
    assert none.labels.dtype == some.labels.dtype
    assert none.images.is_contiguous(memory_format=torch.channels_last)


def test_fewer_images_in_a_batch_than_processes_are_refused(loader):
    with pytest.raises(InputError, match="batch size 3: expected 4 or more, an image for each pro"):
        loader(digits_like(9), batch_size=3, shard=Shard(0, 4))
