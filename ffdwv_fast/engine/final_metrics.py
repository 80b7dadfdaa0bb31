"""What is measured beside the top-1 error, once, when a run has ended.

Everything here works on logits and labels on the CPU in float64 and knows nothing of networks.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ffdwv_fast.engine.calibration import expected_calibration_error


class FinalMetrics(NamedTuple):
    """Metrics of a network on a set of images, as summary.json holds them after the set's name.

    Attributes:
        nll: mean negative log-likelihood of the labels, in nats.
        ece: expected calibration error in percent.
        top5_error: in percent.
        errors_in_superclass: percent of the errors whose prediction is in the label's
            superclass; None for data sets without superclasses and where nothing is wrong.
        confusion_correlation: Spearman's rank correlation of the confusions with S; None
            without S and where it is not defined.
    """

    nll: float
    ece: float
    top5_error: float
    errors_in_superclass: float | None
    confusion_correlation: float | None


def final_metrics(
    logits: Tensor,
    labels: Tensor,
    superclasses: Sequence[int] | None = None,
    similarity: Tensor | None = None,
) -> FinalMetrics:
    """All of them.

    Args:
        logits: [N, C] of any floating dtype, on any device.
        labels: [N] int64.
        superclasses: the superclass of each of the C classes; None for data sets without.
        similarity: S, [C, C]; None leaves the correlation out.
    """
    logits, labels = logits.detach().to("cpu", torch.float64), labels.cpu()
    predictions = logits.argmax(dim=1)
    severity = correlation = None
    if superclasses is not None:
        severity = errors_in_superclass(predictions, labels, superclasses)
    if similarity is not None:
        confusion = confusion_matrix(predictions, labels, logits.shape[1])
        correlation = off_diagonal_rank_correlation(confusion, similarity.cpu())
    return FinalMetrics(
        nll=F.cross_entropy(logits, labels).item(),
        ece=expected_calibration_error(logits, labels),
        top5_error=top_k_error(logits, labels, k=5),
        errors_in_superclass=severity,
        confusion_correlation=correlation,
    )


def top_k_error(logits: Tensor, labels: Tensor, k: int) -> float:
    """Percent of the labels that are not among the k largest logits; of equal ones the first is.

    A label whose own logit is NaN is not among them.

    Args:
        logits: [N, C] of any floating dtype, on any device.
        labels: [N] int64, on the same device.
        k: with k >= C the error is 0.
    """
    own = logits.gather(1, labels[:, None])
    before = torch.arange(logits.shape[1], device=logits.device) < labels[:, None]
    ahead = ~(logits <= own) | ((logits == own) & before)
    return 100 * (ahead.sum(dim=1) >= k).double().mean().item()


def errors_in_superclass(
    predictions: Tensor, labels: Tensor, superclasses: Sequence[int]
) -> float | None:
    """Percent of the errors inside the label's superclass; None where nothing is wrong.

    Args:
        predictions: [N] int64.
        labels: [N] int64.
        superclasses: the superclass of each class.
    """
    superclass = torch.tensor(superclasses)
    wrong = predictions != labels
    if not wrong.any():
        return None
    inside = superclass[predictions[wrong]] == superclass[labels[wrong]]
    return 100 * inside.double().mean().item()


def confusion_matrix(predictions: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """[C, C] int64: how often label i (row) was taken for class j (column)."""
    cells = torch.bincount(labels * num_classes + predictions, minlength=num_classes**2)
    return cells.view(num_classes, num_classes)


def off_diagonal_rank_correlation(confusion: Tensor, similarity: Tensor) -> float | None:
    """Spearman's rank correlation of the off-diagonal entries of two [C, C] matrices.

    Equal entries share their mean rank.

    Returns:
        -1 to 1; None where all entries of one matrix are equal, so that there is no order.
    """
    off_diagonal = ~torch.eye(len(confusion), dtype=torch.bool)
    first, second = (_ranks(m[off_diagonal].double().numpy()) for m in (confusion, similarity))
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(np.corrcoef(first, second)[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[which]
