"""The numbers that the method gives with published word vectors.

The GloVe and GoogleNews figures were computed apart from this package, from the vectors in float64.
"""

import numpy as np
import pytest
import torch

from ffdwv_fast.data.class_names import CIFAR10_CLASSES, CIFAR100_CLASSES, DIGITS_CLASSES
from ffdwv_fast.semantics import class_vectors, distance_matrix, similarity_matrix

CAT, DOG, SHIP = (CIFAR10_CLASSES.index(name) for name in ("cat", "dog", "ship"))


def _figures(vectors):
    distances, matrix = distance_matrix(vectors), similarity_matrix(vectors)
    off = distances[~torch.eye(len(distances), dtype=torch.bool)]
    diagonal = matrix.diagonal().double().mean()
    return [float(value) for value in (off.mean(), off.min(), off.max(), diagonal)]


# mean, least and largest distance between classes; mean diagonal of S
@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (CIFAR10_CLASSES, [5.324, 1.885, 7.758, 0.9104]),
        (CIFAR100_CLASSES, [5.85, 1.265, 8.872, 0.6921]),
    ],
    ids=["cifar10", "cifar100"],
)
def test_glove_distances_and_mean_diagonal(names, expected):
    assert _figures(class_vectors(names)) == pytest.approx(expected, abs=6e-4)


def test_googlenews_distances_and_mean_diagonal(googlenews):
    figures = _figures(class_vectors(CIFAR10_CLASSES, googlenews))
    assert figures == pytest.approx([3.713, 2.082, 4.725, 0.8031], abs=6e-4)


def test_glove_cat_and_dog():
    matrix = similarity_matrix(class_vectors(CIFAR10_CLASSES))
    assert float(matrix[CAT, DOG]) == pytest.approx(0.120, abs=5e-4)


def test_googlenews_cat_and_dog(googlenews):
    matrix = similarity_matrix(class_vectors(CIFAR10_CLASSES, googlenews))
    assert float(matrix[CAT, DOG]) == pytest.approx(0.0925, abs=5e-5)


def test_the_closest_cifar100_classes_are_trees():
    matrix = similarity_matrix(class_vectors(CIFAR100_CLASSES)).fill_diagonal_(0)
    trees = {CIFAR100_CLASSES.index(f"{kind}_tree") for kind in ("oak", "pine", "willow")}
    row, column = divmod(int(matrix.argmax()), 100)
    assert {row, column} <= trees


def test_equivalent_uniform_smoothing():
    """lambda = 1 trains towards (e_y + S_y) / 2, which moves half of 1 - S_yy off the label."""
    for names, expected in ((CIFAR10_CLASSES, 0.05), (CIFAR100_CLASSES, 0.16)):
        diagonal = similarity_matrix(class_vectors(names)).diagonal().double().mean()
        moved = float(1 - diagonal) / 2
        classes = len(names)
        assert moved * classes / (classes - 1) == pytest.approx(expected, abs=5e-3)


@pytest.mark.parametrize("names", [CIFAR10_CLASSES, CIFAR100_CLASSES, DIGITS_CLASSES], ids=len)
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_every_class_resembles_itself_most_and_rows_sum_to_one(names, metric):
    matrix = similarity_matrix(class_vectors(names), metric)
    assert matrix.argmax(dim=1).tolist() == list(range(len(names)))
    np.testing.assert_allclose(matrix.double().sum(dim=1), 1, atol=1e-6)
    assert float((matrix.double().sum(dim=0) - 1).abs().max()) > 1e-3


def test_a_cat_resembles_a_dog_more_than_a_ship():
    matrix = similarity_matrix(class_vectors(CIFAR10_CLASSES))
    assert matrix[CAT, DOG] > 10 * matrix[CAT, SHIP]


def test_a_cat_resembles_a_dog_more_than_a_ship_in_googlenews(googlenews):
    matrix = similarity_matrix(class_vectors(CIFAR10_CLASSES, googlenews))
    assert matrix[CAT, DOG] > matrix[CAT, SHIP]


def test_two_word_names_are_the_mean_of_two_glove_vectors():
    oak, tree = class_vectors(["oak", "tree"]).double()
    assert torch.equal(class_vectors(["oak_tree"])[0], ((oak + tree) / 2).float())


def test_the_phrases_of_googlenews_are_used_as_they_stand(googlenews):
    from gensim.models import KeyedVectors

    expected = KeyedVectors.load_word2vec_format(str(googlenews), binary=True)
    got = class_vectors(["pickup_truck", "palm tree"], googlenews)
    np.testing.assert_array_equal(got[0], expected["pickup_truck"])
    np.testing.assert_array_equal(got[1], expected["palm_tree"])
