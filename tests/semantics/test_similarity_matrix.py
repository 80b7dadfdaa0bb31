"""Distances, S and the temperature against plain numpy and scipy."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from ffdwv_fast.errors import InputError
from ffdwv_fast.semantics import distance_matrix, similarity_matrix
from ffdwv_fast.semantics.similarity_matrix import resolve_temperature

CLASSES = st.integers(1, 12)
WIDTHS = st.integers(1, 20)
SEEDS = st.integers(0, 2**31)


def random_vectors(classes: int, width: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(classes, width))


def reference_distances(vectors: np.ndarray, metric: str) -> np.ndarray:
    vectors = vectors.astype(np.longdouble)
    if metric == "cosine":
        norms = np.sqrt((vectors**2).sum(1))
        return 1 - vectors @ vectors.T / np.outer(norms, norms)
    return np.sqrt(((vectors[:, None] - vectors[None]) ** 2).sum(-1))


def reference_similarity(distances: np.ndarray, temperature: float) -> np.ndarray:
    weights = np.exp(-distances / temperature)
    return weights / weights.sum(axis=1, keepdims=True)


def mean_diagonal(distances, temperature: float) -> float:
    return float(np.trace(reference_similarity(np.asarray(distances), temperature))) / len(
        distances
    )


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@given(classes=CLASSES, width=st.integers(2, 20), seed=SEEDS, temperature=st.floats(0.05, 50))
@settings(max_examples=40, deadline=None)
def test_s_is_the_row_softmax_of_the_negative_distances(metric, classes, width, seed, temperature):
    vectors = random_vectors(classes, width, seed)
    distances = reference_distances(vectors, metric)
    np.testing.assert_allclose(distance_matrix(vectors, metric).numpy(), distances, atol=1e-14)
    expected = reference_similarity(distances, temperature)
    got = similarity_matrix(vectors, metric, temperature)
    assert got.dtype == torch.float32
    assert got.shape == (classes, classes)
    np.testing.assert_allclose(got.numpy(), expected.astype(np.float64), rtol=1e-6, atol=1e-30)


@given(classes=CLASSES, width=WIDTHS, seed=SEEDS)
@settings(max_examples=40, deadline=None)
def test_rows_sum_to_one_and_the_class_itself_is_the_largest(classes, width, seed):
    got = similarity_matrix(random_vectors(classes, width, seed))
    np.testing.assert_allclose(got.double().sum(dim=1).numpy(), 1, atol=1e-6)
    assert got.argmax(dim=1).tolist() == list(range(classes))


def test_columns_are_not_the_normalised_axis():
    # Class 0 lies between the others: many rows give it weight, so its column exceeds 1.
    got = similarity_matrix(np.array([[0.0], [1.0], [-1.0]]))
    far, near = math.exp(-2), math.exp(-1)
    assert float(got[:, 0].sum()) == pytest.approx(
        1 / (1 + 2 * near) + 2 * near / (1 + near + far), abs=1e-6
    )
    assert float(got[0].sum()) == pytest.approx(1, abs=1e-6)


@given(classes=CLASSES, width=WIDTHS, seed=SEEDS)
@settings(max_examples=40, deadline=None)
def test_s_depends_on_the_vectors_by_their_distances_only(classes, width, seed):
    vectors = random_vectors(classes, width, seed)
    rng = np.random.default_rng(seed + 1)
    rotation = np.linalg.qr(rng.normal(size=(width, width)))[0]
    moved = vectors @ rotation + rng.normal(size=width)
    np.testing.assert_allclose(similarity_matrix(moved), similarity_matrix(vectors), atol=2e-7)


@given(classes=CLASSES, width=WIDTHS, seed=SEEDS)
@settings(max_examples=40, deadline=None)
def test_permuting_the_classes_permutes_s(classes, width, seed):
    vectors = random_vectors(classes, width, seed)
    order = np.random.default_rng(seed + 1).permutation(classes)
    expected = similarity_matrix(vectors)[order][:, order]
    np.testing.assert_allclose(similarity_matrix(vectors[order]), expected, atol=2e-7)


@given(classes=CLASSES, width=st.integers(2, 20), seed=SEEDS)
@settings(max_examples=40, deadline=None)
def test_cosine_does_not_depend_on_lengths(classes, width, seed):
    vectors = random_vectors(classes, width, seed)
    lengths = np.random.default_rng(seed + 1).uniform(1e-6, 1e6, size=(classes, 1))
    expected = similarity_matrix(vectors, "cosine")
    np.testing.assert_allclose(similarity_matrix(vectors * lengths, "cosine"), expected, atol=2e-7)


def test_close_vectors_far_from_the_origin_keep_their_distance():
    # ||a||^2 + ||b||^2 - 2ab, the usual expansion, gives 0 here even in float64.
    vectors = np.array([[1e8, 0.0], [1e8, 1e-3]])
    assert float(distance_matrix(vectors)[0, 1]) == pytest.approx(1e-3, rel=1e-12)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_the_distance_to_itself_is_an_exact_zero(metric):
    got = distance_matrix(random_vectors(60, 300, 0).astype(np.float32), metric)
    assert got.diagonal().tolist() == [0.0] * 60
    assert torch.equal(got, got.T)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.int64])
def test_every_real_dtype_is_computed_in_float64(dtype):
    vectors = torch.tensor([[1, 2], [4, 6], [-7, 8]]).to(dtype)
    assert distance_matrix(vectors)[0].tolist() == [0.0, 5.0, 10.0]


def test_a_list_of_numbers_keeps_all_their_digits():
    assert float(distance_matrix([[1.0], [1.0 + 1e-12]])[0, 1]) == pytest.approx(1e-12, rel=1e-3)


def test_a_read_only_array_is_read_without_a_warning(recwarn):
    vectors = np.eye(3)
    vectors.flags.writeable = False
    similarity_matrix(vectors)
    assert len(recwarn) == 0


def test_a_tensor_that_wants_gradients_is_read():
    vectors = torch.tensor([[0.0], [1.0]], requires_grad=True)
    assert not similarity_matrix(vectors).requires_grad


@pytest.mark.parametrize("temperature", [1.0, 1e-3, "2"])
def test_one_class_is_its_own_soft_target(temperature):
    assert similarity_matrix([[3.0, 4.0]], temperature=temperature).tolist() == [[1.0]]


def test_two_thousand_classes_fit():
    vectors = random_vectors(2000, 8, 0)
    got = similarity_matrix(vectors)
    row = reference_similarity(np.sqrt(((vectors - vectors[7]) ** 2).sum(1))[None], 1.0)[0]
    np.testing.assert_allclose(got[7], row, rtol=1e-5)


@given(
    classes=st.integers(2, 12),
    width=WIDTHS,
    seed=SEEDS,
    share=st.floats(0.01, 0.99),
    scale=st.floats(1e-3, 1e3),
)
@settings(max_examples=40, deadline=None)
def test_auto_solves_for_the_mean_diagonal(classes, width, seed, share, scale):
    target = 1 / classes + share * (1 - 1 / classes)
    distances = reference_distances(random_vectors(classes, width, seed) * scale, "euclidean")
    distances = distances.astype(np.float64)
    solved = resolve_temperature(torch.from_numpy(distances), f"auto:{target!r}")
    assert mean_diagonal(distances, solved) == pytest.approx(target, abs=1e-9)
    expected = brentq(
        lambda log_t: mean_diagonal(distances, math.exp(log_t)) - target, -40, 40, xtol=1e-13
    )
    # Where the mean diagonal is flat, T is less certain than the mean diagonal.
    assert math.log(solved) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("target", ["0.1000001", "0.5", "0.999999"])
def test_auto_reaches_targets_near_both_ends(target):
    distances = distance_matrix(random_vectors(10, 50, 3))
    solved = resolve_temperature(distances, f"auto:{target}")
    assert mean_diagonal(distances, solved) == pytest.approx(float(target), abs=1e-9)


def test_s_with_auto_has_the_mean_diagonal():
    got = similarity_matrix(random_vectors(10, 50, 3), temperature="auto:0.8")
    assert float(got.diagonal().double().mean()) == pytest.approx(0.8, abs=1e-7)


@pytest.mark.parametrize("temperature", [2.5, "2.5", " 2.5 ", np.float32(2.5), torch.tensor(2.5)])
def test_a_temperature_may_be_any_number_or_its_text(temperature):
    assert resolve_temperature(torch.zeros(1, 1), temperature) == 2.5


@pytest.mark.parametrize(
    "temperature",
    [
        *(0, -1, "0", "-0.5", "nan", "inf", math.nan, math.inf, "warm", "", None, True, [1]),
        *("auto", "auto:", "auto:x", "auto:nan", "auto:0.1", "auto:1", "auto:0", "auto:-1"),
        *("auto:1.5", "AUTO:0.8", "auto:auto:0.8"),
    ],
)
def test_a_bad_temperature_is_refused_by_name(temperature):
    with pytest.raises(InputError, match="temperature") as caught:
        similarity_matrix(random_vectors(10, 3, 0), temperature=temperature)
    assert repr(temperature) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_auto_with_one_class_is_refused():
    with pytest.raises(InputError, match="no temperature gives"):
        similarity_matrix([[1.0]], temperature="auto:0.8")


BAD_VECTORS = {
    "one-dimensional": ([1.0, 2.0], r"shape \[C, D\], got \[2\]"),
    "three-dimensional": (np.zeros((2, 2, 2)), r"shape \[C, D\]"),
    "no class": (np.zeros((0, 3)), "at least one class"),
    "no dimension": (np.zeros((3, 0)), "at least one class"),
    "not a number": ([[1.0], [math.nan]], "finite: rows 1 "),
    "infinite": ([[math.inf], [1.0], [-math.inf]], "finite: rows 0, 2 "),
    "complex": (np.array([[1j], [2]]), "real numbers"),
    "boolean": ([[True], [False]], "real numbers"),
    "text": ([["cat"]], "array of numbers"),
    "ragged": ([[1.0], [1.0, 2.0]], "array of numbers"),
    "none": (None, "array of numbers"),
    "too large": ([[1e300], [-1e300]], "too large"),
    "alike": ([[1.0, 2], [3, 4], [1, 2]], "classes 0 and 2 have the same vector"),
}


@pytest.mark.parametrize("case", BAD_VECTORS)
def test_bad_vectors_are_refused(case):
    vectors, message = BAD_VECTORS[case]
    with pytest.raises(InputError, match=message) as caught:
        similarity_matrix(vectors)
    assert "\n" not in str(caught.value)


def test_equal_vectors_are_called_by_their_names():
    with pytest.raises(InputError, match="classes 'oak' and 'elm' have the same vector"):
        similarity_matrix([[1.0], [2.0], [1.0]], names=["oak", "ship", "elm"])


def test_the_number_of_names_must_fit():
    with pytest.raises(InputError, match="1 class names for 2 class vectors"):
        similarity_matrix([[1.0], [2.0]], names=["oak"])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_parallel_vectors_are_refused_for_cosine(dtype):
    vectors = np.array([[1.0, 2, 3], [0.1, 0.2, 0.3], [3, 2, 1]], dtype)
    with pytest.raises(InputError, match="classes 0 and 1 have the same direction"):
        similarity_matrix(vectors, "cosine")


def test_a_zero_vector_has_no_cosine():
    with pytest.raises(InputError, match="class 'b' is zero"):
        similarity_matrix([[1.0], [0.0]], "cosine", names=["a", "b"])


def test_an_unknown_metric_is_refused():
    with pytest.raises(InputError, match=r"metric 'manhattan' is unknown.*euclidean, cosine"):
        similarity_matrix([[1.0], [2.0]], "manhattan")
