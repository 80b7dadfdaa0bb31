"""Confidence against accuracy, bin by bin: the reliability diagram's numbers."""

from typing import NamedTuple

import torch
from torch import Tensor

from ffdwv_fast.engine.final_metrics import ECE_BINS


class Bin(NamedTuple):
    """The images whose largest probability is in an interval (low, high].

    Attributes:
        low: of the interval.
        high: of the interval.
        images: how many.
        confidence: mean of the largest probability; None for no images.
        accuracy: share of the images that are predicted right; None for no images.
    """

    low: float
    high: float
    images: int
    confidence: float | None
    accuracy: float | None


def reliability(probabilities: Tensor, labels: Tensor, bins: int = ECE_BINS) -> list[Bin]:
    """Bins of equal width, as the expected calibration error has them (Guo et al. 2017).

    Args:
        probabilities: [N, C] float64, rows sum to 1.
        labels: [N] int64.
        bins: how many.
    """
    confidence, predicted = probabilities.max(dim=1)
    edges = torch.linspace(0, 1, bins + 1, dtype=torch.float64)
    bin_of = torch.bucketize(confidence, edges[1:-1])
    right = (predicted == labels).double()
    found = []
    for number, (low, high) in enumerate(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)):
        inside = bin_of == number
        count = int(inside.sum())
        means = [values[inside].mean().item() if count else None for values in (confidence, right)]
        found.append(Bin(low, high, count, *means))
    return found
