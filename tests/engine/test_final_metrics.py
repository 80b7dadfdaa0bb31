"""Metrics beside the top-1 error, against scikit-learn, scipy and hand-worked cases."""

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.metrics import confusion_matrix as sklearn_confusion
from sklearn.metrics import log_loss, top_k_accuracy_score

from ffdwv_fast.engine.calibration import expected_calibration_error
from ffdwv_fast.engine.final_metrics import (
    confusion_matrix,
    errors_in_superclass,
    final_metrics,
    off_diagonal_rank_correlation,
    top_k_error,
)

CLASSES = 12


@pytest.fixture
def predicted():
    """Logits [400, 12] that are right about half the time, and their labels."""
    generator = torch.Generator().manual_seed(3)
    labels = torch.randint(CLASSES, (400,), generator=generator)
    logits = torch.randn(400, CLASSES, dtype=torch.float64, generator=generator)
    logits[torch.arange(400), labels] += 1.8
    return logits, labels


def logits_of(*confidences: float) -> torch.Tensor:
    """Two-class logits whose class 0 has these probabilities."""
    p = torch.tensor(confidences, dtype=torch.float64)
    return torch.stack([p, 1 - p], dim=1).log()


def test_nll_is_scikit_learns(predicted):
    logits, labels = predicted
    expected = log_loss(labels, torch.softmax(logits, 1), labels=range(CLASSES))
    assert final_metrics(logits, labels).nll == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_top_k_error_is_scikit_learns(predicted, k):
    logits, labels = predicted
    expected = 100 * (1 - top_k_accuracy_score(labels, logits, k=k, labels=range(CLASSES)))
    assert top_k_error(logits, labels, k) == pytest.approx(expected, rel=1e-12)


def test_top_k_error_of_equal_logits_takes_the_first_classes():
    logits, labels = torch.zeros(10, 10), torch.arange(10)
    assert top_k_error(logits, labels, 1) == pytest.approx(90)  # argmax is class 0 everywhere
    assert top_k_error(logits, labels, 5) == pytest.approx(50)
    assert top_k_error(logits, labels, 10) == 0


def test_a_network_that_gives_nan_is_wrong_everywhere():
    logits, labels = torch.full((4, 10), torch.nan), torch.tensor([0, 3, 5, 9])
    assert [top_k_error(logits, labels, k) for k in (1, 5)] == [100, 100]


def test_calibration_error_by_hand():
    # Bins of 1/15: 0.95 and 0.94 share the last one, accuracy 1/2, mean confidence 0.945; 0.6 is
    # alone and right. ECE = 2/3 * |0.5 - 0.945| + 1/3 * |1 - 0.6|.
    logits, labels = logits_of(0.95, 0.94, 0.6), torch.tensor([0, 1, 0])
    expected = 100 * (2 / 3 * 0.445 + 1 / 3 * 0.4)
    assert expected_calibration_error(logits, labels) == pytest.approx(expected, rel=1e-12)


def test_calibration_error_is_the_definition_bin_by_bin(predicted):
    logits, labels = predicted
    p = torch.softmax(logits, 1).numpy()
    confidence, right = p.max(1), p.argmax(1) == labels.numpy()
    expected = 0.0
    for b in range(15):
        inside = (confidence > b / 15) & (confidence <= (b + 1) / 15)
        if inside.any():
            gap = abs(right[inside].mean() - confidence[inside].mean())
            expected += inside.mean() * gap
    assert expected_calibration_error(logits, labels) == pytest.approx(100 * expected, rel=1e-9)


def test_a_confidence_on_an_edge_belongs_to_the_bin_below():
    # With two bins 0.5 is in the lower one, and 0.6 alone in the upper: |0 - 0.5| + |1 - 0.6|.
    logits, labels = logits_of(0.5, 0.6), torch.tensor([1, 0])
    assert expected_calibration_error(logits, labels, bins=2) == pytest.approx(50 * (0.5 + 0.4))


def test_share_of_errors_inside_the_superclass_by_hand():
    superclasses = (0, 0, 1, 1)
    labels = torch.tensor([0, 0, 1, 2, 3, 3])
    predictions = torch.tensor([0, 1, 2, 3, 0, 3])  # right, inside, outside, inside, outside, right
    assert errors_in_superclass(predictions, labels, superclasses) == pytest.approx(50)
    assert errors_in_superclass(labels, labels, superclasses) is None


def test_confusion_matrix_is_scikit_learns(predicted):
    logits, labels = predicted
    predictions = logits.argmax(1)
    expected = sklearn_confusion(labels, predictions, labels=range(CLASSES))
    assert np.array_equal(confusion_matrix(predictions, labels, CLASSES), expected)


def test_rank_correlation_is_scipys_and_leaves_the_diagonal_out(predicted):
    logits, labels = predicted
    confusion = confusion_matrix(logits.argmax(1), labels, CLASSES)
    similarity = torch.rand(CLASSES, CLASSES, generator=torch.Generator().manual_seed(1))
    similarity[0, 1:4] = 0.25  # ties on this side too
    apart = ~torch.eye(CLASSES, dtype=torch.bool)
    expected = spearmanr(confusion[apart], similarity[apart]).statistic
    found = off_diagonal_rank_correlation(confusion, similarity)
    assert found == pytest.approx(expected, abs=1e-12)
    confusion.fill_diagonal_(0)
    assert off_diagonal_rank_correlation(confusion, similarity) == found


def test_rank_correlation_without_an_order_is_none():
    confusion = torch.eye(4, dtype=torch.int64)
    assert off_diagonal_rank_correlation(confusion, torch.rand(4, 4)) is None
    assert off_diagonal_rank_correlation(torch.rand(4, 4), torch.full((4, 4), 0.25)) is None


def test_what_a_data_set_does_not_have_is_none(predicted):
    metrics = final_metrics(*predicted)
    assert metrics.errors_in_superclass is None
    assert metrics.confusion_correlation is None


def test_metrics_of_half_precision_logits_are_computed_in_float64(predicted):
    logits, labels = predicted
    half = logits.bfloat16()
    assert final_metrics(half, labels) == final_metrics(half.double(), labels)
