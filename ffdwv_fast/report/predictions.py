"""What a trained network says of the images that its run was evaluated on."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ffdwv_fast.engine.final_metrics import confusion_matrix


@dataclass(frozen=True, eq=False)
class Predictions:
    """Images with their labels and a network's logits.

    Attributes:
        class_names: the class of label i is `class_names[i]`.
        images: uint8 [N, H, W, C_in].
        labels: [N] int64.
        logits: [N, C] float64, on the CPU as all of it.
    """

    class_names: tuple[str, ...]
    images: np.ndarray
    labels: Tensor
    logits: Tensor

    @cached_property
    def probabilities(self) -> Tensor:
        """[N, C] float64, rows sum to 1."""
        return torch.softmax(self.logits, dim=1)

    @cached_property
    def predicted(self) -> Tensor:
        """[N] int64: the class of the largest logit."""
        return self.logits.argmax(dim=1)

    @cached_property
    def wrong(self) -> Tensor:
        """[N] bool."""
        return self.predicted != self.labels

    @property
    def error(self) -> float:
        """Top-1 error in percent."""
        return 100 * self.wrong.double().mean().item()

    @cached_property
    def confusion(self) -> Tensor:
        """[C, C] int64: how often label i (row) was taken for class j (column)."""
        return confusion_matrix(self.predicted, self.labels, len(self.class_names))
