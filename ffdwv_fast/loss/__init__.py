"""The fused losses: cross-entropy with the labels and one kind of soft targets in one pass."""

from ffdwv_fast.loss.functional import (
    distillation_loss,
    ffdwv_loss,
    label_smoothing_loss,
    loss_and_grad,
    soft_target_loss,
)
from ffdwv_fast.loss.module import FFDWVLoss
from ffdwv_fast.loss.parts import LossParts

__all__ = [
    "FFDWVLoss",
    "LossParts",
    "distillation_loss",
    "ffdwv_loss",
    "label_smoothing_loss",
    "loss_and_grad",
    "soft_target_loss",
]
