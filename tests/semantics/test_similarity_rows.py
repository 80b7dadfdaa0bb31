"""Rows of S on demand against the whole S and against plain numpy in extended precision."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ffdwv_fast.errors import InputError
from ffdwv_fast.loss import soft_target_loss
from ffdwv_fast.semantics import SimilarityRows, similarity_matrix, similarity_rows

METRICS = ["euclidean", "cosine"]
# Three roundings to float32: of a term, of their sum, of the quotient.
ROUNDING = {"rtol": 3 * 2**-24, "atol": 1e-37}


def random_vectors(classes: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(classes, width)).astype(np.float32)


def reference_rows(vectors, labels, metric: str, temperature: float) -> np.ndarray:
    vectors = np.asarray(vectors).astype(np.longdouble)
    if metric == "cosine":
        vectors = vectors / np.sqrt((vectors**2).sum(1, keepdims=True))
    distances = np.sqrt(((vectors[labels][:, None] - vectors[None]) ** 2).sum(-1))
    if metric == "cosine":
        distances = distances**2 / 2
    weights = np.exp(-distances / temperature)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float64)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("chunk_numbers", [1, 100, 1 << 20])
@given(
    classes=st.integers(1, 12),
    width=st.integers(2, 20),
    seed=st.integers(0, 2**31),
    temperature=st.floats(0.05, 50),
)
@settings(max_examples=25, deadline=None)
def test_rows_are_the_softmax_of_the_negative_distances(
    metric, chunk_numbers, classes, width, seed, temperature
):
    vectors = random_vectors(classes, width, seed)
    labels = np.random.default_rng(seed).integers(0, classes, 7)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(similarity_rows, "_CHUNK_NUMBERS", chunk_numbers)
        got = SimilarityRows(vectors, metric, temperature).rows(torch.from_numpy(labels))
    expected = reference_rows(vectors, labels, metric, temperature)
    assert got.dtype == torch.float32
    np.testing.assert_allclose(got.double().numpy(), expected, **ROUNDING)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_rows_are_those_of_the_whole_matrix(metric, dtype):
    vectors = torch.from_numpy(random_vectors(3000, 50)).to(dtype)
    labels = torch.randint(0, 3000, (32,), generator=torch.Generator().manual_seed(0))
    got = SimilarityRows(vectors, metric, 0.7).rows(labels)
    whole = similarity_matrix(vectors, metric, 0.7)
    np.testing.assert_allclose(got.double(), whole[labels].double(), rtol=4 * 2**-24, atol=1e-37)


HARD = {
    "far from the origin": np.array([[1e8, 0.0], [1e8, 1e-3], [0, 0], [1e8, 2e-3]]),
    "nearly alike": 1 + 1e-7 * np.random.default_rng(0).normal(size=(50, 300)),
    "of every size": np.exp(np.random.default_rng(0).uniform(-30, 30, (40, 5))),
    "just below the limit of cancellation": np.array([[1.0, 0], [1.0, 0.0141], [1.0, -0.0142]]),
}


@pytest.mark.parametrize("case", HARD)
@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0])
def test_close_vectors_keep_their_distance(case, scale):
    vectors, labels = HARD[case], np.arange(len(HARD[case]))
    distances = np.sqrt(((vectors[:, None] - vectors[None]) ** 2).sum(-1))
    temperature = scale * float(np.median(distances[distances > 0]))
    got = SimilarityRows(vectors, temperature=temperature).rows(torch.from_numpy(labels))
    expected = reference_rows(vectors, labels, "euclidean", temperature)
    np.testing.assert_allclose(got.double().numpy(), expected, rtol=1e-6, atol=1e-37)


def test_more_classes_than_a_matrix_could_be_kept_for():
    # S of 200,000 classes would take 160 GB.
    vectors = random_vectors(200_000, 8)
    labels = np.array([0, 123_456, 199_999])
    got = SimilarityRows(vectors).rows(torch.from_numpy(labels))
    expected = reference_rows(vectors, labels, "euclidean", 1.0)
    np.testing.assert_allclose(got.double().numpy(), expected, **ROUNDING)
    assert got.argmax(dim=1).tolist() == labels.tolist()


def test_the_loss_with_rows_is_that_with_their_row_of_s():
    from ffdwv_fast import ffdwv_loss

    vectors, labels = random_vectors(40, 10), torch.tensor([3, 3, 39, 0])
    logits = torch.randn(4, 40, generator=torch.Generator().manual_seed(0)).double()
    by_rows = soft_target_loss(
        logits, labels, SimilarityRows(vectors).rows(labels), check_soft_targets=True
    )
    by_matrix = ffdwv_loss(logits, labels, similarity_matrix(vectors))
    assert float(by_rows) == pytest.approx(float(by_matrix), rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_labels_of_both_dtypes_and_of_an_empty_batch(dtype):
    rows = SimilarityRows(random_vectors(5, 3))
    assert rows.rows(torch.tensor([4, 4], dtype=dtype)).argmax(dim=1).tolist() == [4, 4]
    assert rows.rows(torch.empty(0, dtype=dtype)).shape == (0, 5)


def test_no_gradient_flows_through():
    vectors = torch.from_numpy(random_vectors(5, 3)).requires_grad_()
    assert not SimilarityRows(vectors).rows(torch.tensor([0])).requires_grad


def test_a_tensor_is_not_copied():
    vectors = torch.from_numpy(random_vectors(5, 3))
    rows = SimilarityRows(vectors)
    vectors[1] = vectors[0]
    first = rows.rows(torch.tensor([0]))[0]
    assert float(first[0]) == float(first[1])


BAD_LABELS = {
    "negative": (torch.tensor([0, -100]), r"labels must lie in 0..2, got -100"),
    "too large": (torch.tensor([3]), r"labels must lie in 0..2, got 3"),
    "two-dimensional": (torch.tensor([[0]]), r"shape \[N\], got \[1, 1\]"),
    "a number": (torch.tensor(0), r"shape \[N\], got \[\]"),
    "floats": (torch.tensor([0.0]), "int64 or int32 tensor, got torch.float32"),
    "a mask": (torch.tensor([True]), "int64 or int32 tensor, got torch.bool"),
    "a list": ([0], "int64 or int32 tensor, got list"),
}


@pytest.mark.parametrize("case", BAD_LABELS)
def test_bad_labels_are_refused(case):
    labels, message = BAD_LABELS[case]
    with pytest.raises(InputError, match=message):
        SimilarityRows(random_vectors(3, 2)).rows(labels)


BAD_SETTINGS = {
    "auto": ({"temperature": "auto:0.8"}, "needs the whole S.*a number"),
    "temperature": ({"temperature": 0}, "temperature 0 is out of range"),
    "metric": ({"metric": "manhattan"}, "metric 'manhattan' is unknown"),
    "names": ({"names": ["a"]}, "1 class names for 3 class vectors"),
    "not finite": ({"vectors": [[1.0], [math.nan], [2.0]]}, "finite: rows 1 "),
    "no width": ({"vectors": np.zeros((3, 0))}, "at least one class"),
    "zero": (
        {"vectors": [[1.0], [0.0], [2.0]], "metric": "cosine", "names": list("abc")},
        "class 'b' is zero",
    ),
}


@pytest.mark.parametrize("case", BAD_SETTINGS)
def test_bad_settings_are_refused(case):
    changes, message = BAD_SETTINGS[case]
    with pytest.raises(InputError, match=message) as caught:
        SimilarityRows(**({"vectors": random_vectors(3, 2)} | changes))
    assert "\n" not in str(caught.value)
