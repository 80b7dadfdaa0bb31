"""Data sets check what they are given; a limited training set is a fair sample."""

from dataclasses import replace

import numpy as np
import pytest

from ffdwv_fast.data.dataset import ImageSet
from ffdwv_fast.errors import InputError
from tests.data.samples import cifar_like

IMAGES, LABELS = np.zeros((4, 8, 8, 1), np.uint8), np.zeros(4, np.int64)


def with_labels(labels):
    labels = np.asarray(labels, dtype=np.int64)
    images = np.arange(len(labels), dtype=np.uint8)[:, None, None, None]
    return replace(cifar_like(1), train=ImageSet(images, labels))


def test_shape_and_classes_are_those_of_the_images():
    dataset = replace(cifar_like(1), train=ImageSet(np.zeros((1, 5, 7, 2), np.uint8), LABELS[:1]))
    assert dataset.image_shape == (2, 5, 7)
    assert dataset.num_classes == 10


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES.astype(np.float32), LABELS, "images of dtype float32"),
        (IMAGES[..., 0], LABELS, r"shape \(4, 8, 8\)"),
        (IMAGES, LABELS.astype(np.int32), "labels of dtype int32"),
        (IMAGES, LABELS[:3], r"shape \(3,\): expected int64 of shape \[4\]"),
    ],
)
def test_malformed_images_are_input_errors(images, labels, message):
    with pytest.raises(InputError, match=message):
        ImageSet(images, labels)


@pytest.mark.parametrize("label", [-1, 10])
@pytest.mark.parametrize("part", ["train", "test"])
def test_a_label_out_of_range_is_an_input_error(part, label):
    bad = ImageSet(IMAGES, np.array([0, 9, label, 0]))
    with pytest.raises(InputError, match=f"label {label} of image 2 .*expected 0 to 9"):
        replace(cifar_like(1), **{part: bad})


@pytest.mark.parametrize("n", [1, 9, 10, 11, 55, 99, 100])
def test_a_limit_takes_as_many_of_every_class_of_a_balanced_set(n):
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 10))
    counts = np.bincount(with_labels(labels).limit_train(n).train.labels, minlength=10)
    assert counts.sum() == n
    assert counts.max() - counts.min() <= 1


def test_a_limit_keeps_the_proportions_of_an_unbalanced_set():
    limited = with_labels([0] * 60 + [1] * 30 + [2] * 10).limit_train(10)
    assert np.bincount(limited.train.labels).tolist() == [6, 3, 1]


def test_a_limit_keeps_images_with_their_labels_in_their_order():
    labels = np.random.default_rng(0).integers(0, 10, 200)
    kept = with_labels(labels).limit_train(50).train
    chosen = kept.images.ravel().astype(int)
    assert (np.diff(chosen) > 0).all()
    np.testing.assert_array_equal(kept.labels, labels[chosen])


def test_a_smaller_limit_is_a_subset_of_a_larger_one():
    dataset = with_labels(np.random.default_rng(0).integers(0, 10, 200))
    small, large = (set(dataset.limit_train(n).train.images.ravel()) for n in (30, 60))
    assert small < large


def test_a_limit_leaves_the_rest_alone():
    dataset = cifar_like(20)
    assert dataset.limit_train(5).test is dataset.test
    np.testing.assert_array_equal(dataset.limit_train(20).train.images, dataset.train.images)


@pytest.mark.parametrize("n", [-1, 0, 21])
def test_a_limit_out_of_range_is_an_input_error(n):
    with pytest.raises(InputError, match=f"a training limit of {n}: expected 1 to 20"):
        cifar_like(20).limit_train(n)
