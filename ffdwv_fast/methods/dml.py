"""Deep mutual learning: two networks that teach each other."""

import torch
from torch import Tensor

from ffdwv_fast.loss.arguments import LossArguments
from ffdwv_fast.loss.run import loss_and_parts, loss_parts_grad
from ffdwv_fast.methods.method import FusedMethod


class DML(FusedMethod):
    """Each network's loss is CE + soft_weight * KL(p_other || p_own); their sum is minimised.

    Y. Zhang, T. Xiang, T. Hospedales, H. Lu, "Deep Mutual Learning" (CVPR 2018), eqs. 3 to 8,
    https://arxiv.org/abs/1706.00384. p_other is a target: no gradient flows through it, so the sum
    gives each network the gradient of its own loss. Both take their step at once, from the
    predictions before it; the paper's Algorithm 1 has them take turns on each batch.
    """

    networks = 2

    def forward(
        self, logits: Tensor, labels: Tensor, targets: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        if logits.dim() == 2:
            return super().forward(logits, labels)
        (first, parts), (second, _) = (
            loss_and_parts(a) for a in self._arguments_of_both(logits, labels)
        )
        return first + second, parts

    def gradient(
        self,
        logits: Tensor,
        labels: Tensor,
        loss_scale: float | Tensor,
        targets: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        (first, parts, first_grad), (second, _, second_grad) = (
            loss_parts_grad(a, loss_scale) for a in self._arguments_of_both(logits, labels)
        )
        return first + second, parts, torch.stack([first_grad, second_grad])

    def _arguments_of_both(self, logits: Tensor, labels: Tensor) -> list[LossArguments]:
        pairs = (logits[0], logits[1]), (logits[1], logits[0])
        return [
            self._with_soft(own, labels, other.detach(), "teacher_logits") for own, other in pairs
        ]
