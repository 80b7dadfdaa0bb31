"""Sums over an epoch, kept on the device so that no step waits for it."""

from typing import NamedTuple

import torch
from torch import Tensor

from ffdwv_fast.engine import distributed


class EpochMetrics(NamedTuple):
    """Means over an epoch's images.

    Attributes:
        loss: what was minimised.
        ce: cross-entropy with the labels.
        kl: the soft-target term before its weight.
        error: top-1 error in percent.
        skipped: steps whose update was left out, as a float16 gradient overflowed; of all, no mean.
    """

    loss: float
    ce: float
    kl: float
    error: float
    skipped: int


class MetricSums:
    """Adds up batches on the device; `read` is the only call that waits for it.

    Of several processes each adds its part of a batch; what is read is of all.

    Args:
        device: where the losses are.

    Attributes:
        values: [5] float64, always the same memory: loss, ce and kl times images, correct, and
            skipped steps.
        images: how many have been added, over all processes.
    """

    def __init__(self, device: torch.device):
        self.values = torch.zeros(5, dtype=torch.float64, device=device)
        self._loss, self._parts, self._skipped = self.values[0], self.values[1:4], self.values[4]
        self._weights: dict[int, Tensor] = {}
        self.images = 0

    def reset(self) -> None:
        """Begin anew."""
        self.values.zero_()
        self.images = 0

    def add_on_device(self, loss: Tensor, parts: Tensor, images: int) -> None:
        """Add a batch: its mean loss [], its parts [3] (see Method) and its size.

        A CUDA graph can hold it; `count` is the rest.
        """
        if images not in self._weights:
            self._weights[images] = torch.full_like(parts, images)
            self._weights[images][2] = 1  # correct is a count already
        self._loss.add_(loss.detach(), alpha=images)
        self._parts.addcmul_(parts, self._weights[images])

    def add_skipped(self, skipped: Tensor) -> None:
        """Count a step if its update was left out: skipped [], bool. A CUDA graph can hold it."""
        self._skipped.add_(skipped)

    def count(self, images: int) -> None:
        """The part of adding a batch that happens on the host."""
        self.images += images

    def read(self) -> EpochMetrics:
        """The means so far; all processes have to ask for them together."""
        loss, ce, kl, correct, skipped = distributed.summed(self.values).tolist()
        images = max(1, self.images)
        error = 100 * (self.images - correct) / images
        return EpochMetrics(loss / images, ce / images, kl / images, error, int(skipped))
