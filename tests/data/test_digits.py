"""The digits, against scikit-learn's own."""

import numpy as np
import pytest
from sklearn import datasets

from ffdwv_fast.data.digits import load_digits


@pytest.fixture(scope="module")
def digits():
    return load_digits()


def test_sizes(digits):
    assert digits.train.images.shape == (1437, 8, 8, 1)
    assert digits.test.images.shape == (360, 8, 8, 1)


def test_the_two_parts_are_all_images_once_with_their_labels(digits):
    def rows(images, labels):
        return sorted(map(tuple, np.column_stack([images.reshape(len(labels), -1), labels])))

    original = datasets.load_digits()
    # 16 steps of 15.9375 are 255: dividing by it finds the original value.
    images = np.concatenate([digits.train.images, digits.test.images])
    labels = np.concatenate([digits.train.labels, digits.test.labels])
    found = rows(np.rint(images / 15.9375).astype(int), labels)
    assert found == rows(original.data.astype(int), original.target)


def test_pixels_span_black_to_white(digits):
    assert digits.train.images.min() == 0
    assert digits.train.images.max() == 255


def test_the_test_part_is_stratified(digits):
    assert np.bincount(digits.test.labels).tolist() == [36, 36, 35, 37, 36, 37, 36, 36, 35, 36]


def test_the_split_is_that_of_seed_0(digits):
    assert digits.test.labels[:10].tolist() == [7, 6, 3, 7, 7, 3, 2, 8, 9, 3]


def test_mean_and_std_are_those_of_the_training_part(digits):
    pixels = digits.train.images / 255
    assert digits.mean == pytest.approx((pixels.mean(),), abs=5e-6)
    assert digits.std == pytest.approx((pixels.std(),), abs=5e-6)


def test_digits_are_never_flipped(digits):
    assert digits.flip is False
    assert digits.padding == 1


def test_class_names_are_the_words_of_the_labels(digits):
    words = "zero one two three four five six seven eight nine"
    assert digits.class_names == tuple(words.split())
