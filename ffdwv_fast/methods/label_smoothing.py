"""The control for softness: the labels are as soft as FFDWV's, and know nothing of the classes."""

import torch
from torch import Tensor

from ffdwv_fast.methods.method import FusedMethod


class LabelSmoothing(FusedMethod):
    """Eq. 9 with a uniform S of the same mean diagonal, plus the constant that makes it smoothing.

    Let d be the mean diagonal of FFDWV's S and u = (1 - d) / (C - 1). Here S has d on its diagonal
    and u everywhere else, and H is the entropy of such a row. Then, with lambda = soft_weight,

        CE + lambda KL(S_y || p) + lambda H = (1 + lambda) F.cross_entropy(label_smoothing=eps),
        eps = lambda C u / (1 + lambda)

    which is 2 F.cross_entropy at the paper's lambda = 1 and F.cross_entropy at loss_scale 0.5. The
    constant lambda H is in the loss and not in its part kl, which is KL(S_y || p).

    Attributes:
        similarity: the uniform S, [C, C] float32.
        entropy: H in nats.
    """

    needs_similarity = True

    def __init__(self, similarity: Tensor, soft_weight: float, **ingredients):
        classes = len(similarity)
        diagonal = float(similarity.diagonal().double().mean())
        rest = (1 - diagonal) / max(1, classes - 1)
        uniform = torch.full_like(similarity, rest).fill_diagonal_(diagonal)
        super().__init__(uniform, soft_weight, **ingredients)
        self._uniform_mass = classes * rest
        self.entropy = float(torch.special.entr(uniform[0].double()).sum())

    @property
    def smoothing(self) -> float:
        """eps: F.cross_entropy's label_smoothing at the present soft_weight."""
        return self.soft_weight * self._uniform_mass / (1 + self.soft_weight)

    def forward(
        self, logits: Tensor, labels: Tensor, targets: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        loss, parts = super().forward(logits, labels)
        return loss + self._constant, parts

    def gradient(
        self,
        logits: Tensor,
        labels: Tensor,
        loss_scale: float | Tensor,
        targets: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        loss, parts, grad = super().gradient(logits, labels, loss_scale)
        return loss + self._constant, parts, grad

    @property
    def _constant(self) -> float:
        return self.loss_scale * self.soft_weight * self.entropy
