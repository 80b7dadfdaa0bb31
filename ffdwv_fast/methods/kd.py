"""Knowledge distillation from a trained teacher."""

import torch
from torch import Tensor, nn

from ffdwv_fast.errors import InputError
from ffdwv_fast.loss.arguments import LossArguments, check_temperature
from ffdwv_fast.methods.method import FusedMethod

# The paper and Hinton's leave it open; the common choice of later code for CIFAR.
DEFAULT_TEMPERATURE = 4.0


class KD(FusedMethod):
    """CE + soft_weight * T^2 KL(softmax(teacher / T) || softmax(logits / T)) (paper, eqs. 3 to 5).

    G. Hinton, O. Vinyals, J. Dean, "Distilling the Knowledge in a Neural Network" (2015),
    https://arxiv.org/abs/1503.02531. The teacher sees the very images that the student does,
    augmented alike. It is frozen: its parameters take no gradient and its batch normalisation is
    in evaluation mode, whatever mode the method is put in.

    Attributes:
        teacher: the frozen network.
        temperature: T.
    """

    needs_teacher = True

    def __init__(
        self,
        similarity: Tensor | None,
        soft_weight: float,
        *,
        teacher: nn.Module | None = None,
        temperature: float = DEFAULT_TEMPERATURE,
        **ingredients,
    ):
        if teacher is None:
            raise InputError("kd has no teacher; pass a trained network as teacher=")
        check_temperature(temperature)
        super().__init__(None, soft_weight, **ingredients)
        self.teacher = teacher.requires_grad_(False).eval()
        self.temperature = temperature

    def train(self, mode: bool = True) -> "KD":
        """Set the mode of everything but the teacher."""
        super().train(mode)
        self.teacher.eval()
        return self

    @torch.no_grad()
    def targets(self, images: Tensor) -> Tensor:
        """The teacher's logits, [N, C]."""
        return self.teacher(images)

    def _arguments(self, logits: Tensor, labels: Tensor, targets: Tensor | None) -> LossArguments:
        return self._with_soft(logits, labels, targets, "teacher_logits", self.temperature)
