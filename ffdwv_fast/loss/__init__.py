"""The fused loss: CE(y) + soft_weight * KL(S_y || softmax(logits))."""

from ffdwv_fast.loss.functional import LossParts, ffdwv_loss
from ffdwv_fast.loss.module import FFDWVLoss

__all__ = ["FFDWVLoss", "LossParts", "ffdwv_loss"]
