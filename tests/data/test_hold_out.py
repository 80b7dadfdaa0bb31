"""Holding training images out."""

import numpy as np
import pytest

from ffdwv_fast import InputError
from ffdwv_fast.data.dataset import Dataset, ImageSet

COUNTS = (40, 20, 20, 7)  # of the classes


@pytest.fixture
def dataset() -> Dataset:
    """Training images that are numbered by their pixels, of classes in no order."""
    labels = np.repeat(np.arange(len(COUNTS)), COUNTS)
    labels = np.random.default_rng(0).permutation(labels)
    images = np.arange(len(labels), dtype=np.uint8).reshape(-1, 1, 1, 1)
    test = ImageSet(np.full((3, 1, 1, 1), 255, dtype=np.uint8), np.zeros(3, dtype=np.int64))
    return Dataset(
        name="numbered",
        class_names=tuple("abcd"),
        train=ImageSet(images, labels),
        test=test,
        mean=(0.5,),
        std=(0.5,),
        padding=0,
        flip=False,
    )


def numbers(images: ImageSet) -> list[int]:
    return images.images.ravel().tolist()


@pytest.mark.parametrize("n", [1, 13, 40, 86])
def test_images_are_trained_on_or_held_out_and_keep_label_and_order(dataset, n):
    split = dataset.hold_out(n, seed=1)
    assert len(split.test) == n
    assert sorted(numbers(split.train) + numbers(split.test)) == numbers(dataset.train)
    for part in (split.train, split.test):
        assert numbers(part) == sorted(numbers(part))
        assert (part.labels == dataset.train.labels[numbers(part)]).all()


@pytest.mark.parametrize(
    ("n", "quotas"),
    [(87 // 3, [13, 7, 7, 2]), (4, [2, 1, 1, 0]), (86, [39, 20, 20, 7])],  # exact shares: n c / 87
)
def test_classes_give_in_proportion(dataset, n, quotas):
    held_out = dataset.hold_out(n, seed=5).test
    assert np.bincount(held_out.labels, minlength=4).tolist() == quotas


def test_the_seed_decides(dataset):
    first, again, other = (numbers(dataset.hold_out(20, seed).test) for seed in (3, 3, 4))
    assert first == again != other
    drawn = set().union(*(numbers(dataset.hold_out(20, seed).test) for seed in range(40)))
    assert drawn == set(numbers(dataset.train))


@pytest.mark.parametrize("n", [0, -1, 87, 1000])
def test_a_number_that_cannot_be_held_out_is_refused(dataset, n):
    with pytest.raises(InputError, match=rf"{n} validation images: expected 1 to 86, as one"):
        dataset.hold_out(n, 0)
