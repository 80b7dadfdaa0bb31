"""Confidence against accuracy, bin by bin: Guo et al. 2017 (https://arxiv.org/abs/1706.04599)."""

from typing import NamedTuple

import torch
from torch import Tensor

ECE_BINS = 15


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


def reliability(logits: Tensor, labels: Tensor, bins: int = ECE_BINS) -> list[Bin]:
    """The reliability diagram's numbers, in bins of equal width, ((b - 1) / B, b / B].

    Args:
        logits: [N, C] float64.
        labels: [N] int64.
        bins: B.
    """
    confidence, predicted = torch.softmax(logits, dim=1).max(dim=1)
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


def expected_calibration_error(logits: Tensor, labels: Tensor, bins: int = ECE_BINS) -> float:
    """Mean over the images of |accuracy - confidence| of their bin, in percent: equations 2 to 4.

    Args:
        logits: [N, C] float64.
        labels: [N] int64.
        bins: as `reliability` has them.
    """
    gaps = [
        one.images * abs(one.accuracy - one.confidence)
        for one in reliability(logits, labels, bins)
        if one.images
    ]
    return 100 * sum(gaps) / len(labels)
