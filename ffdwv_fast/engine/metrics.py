"""Sums over an epoch, kept on the device so that no step waits for it."""

from typing import NamedTuple

import torch
from torch import Tensor


class EpochMetrics(NamedTuple):
    """Means over an epoch's images.

    Attributes:
        loss: what was minimised.
        ce: cross-entropy with the labels.
        kl: the soft-target term before its weight.
        error: top-1 error in percent.
    """

    loss: float
    ce: float
    kl: float
    error: float


class MetricSums:
    """Adds up batches on the device; `read` is the only call that waits for it.

    Args:
        device: where the losses are.
    """

    def __init__(self, device: torch.device):
        self._sums = torch.zeros(4, dtype=torch.float64, device=device)  # loss, ce, kl, correct
        self._images = 0

    def add(self, loss: Tensor, parts: Tensor, images: int) -> None:
        """Add a batch: its mean loss [], its parts [3] (see Method) and its size."""
        self._sums[0].add_(loss.detach(), alpha=images)
        self._sums[1:3].add_(parts[:2], alpha=images)
        self._sums[3].add_(parts[2])
        self._images += images

    def read(self) -> EpochMetrics:
        """The means so far."""
        loss, ce, kl, correct = self._sums.tolist()
        images = max(1, self._images)
        error = 100 * (self._images - correct) / images
        return EpochMetrics(loss / images, ce / images, kl / images, error)
