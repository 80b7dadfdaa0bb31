"""The other direction of the divergence."""

import torch
from torch import Tensor
from torch.nn import functional as F

from ffdwv_fast.methods.method import Method

# Float32's smallest normal number: log S_ij >= -87.3 where S_ij has been rounded to 0.
_FLOOR = torch.finfo(torch.float32).tiny


class FFDWVReverse(Method):
    """CE + soft_weight * KL(p || S_y): eq. 9 with the arguments of eq. 8's divergence exchanged.

    KL(S_y || p) makes a network give mass to every neighbour, KL(p || S_y) forbids it mass where
    S_y has none. The fused op computes the former alone, so this is plain PyTorch through autograd:
    several times the op's memory and time, which is little beside a network's. Where S is 0 the
    divergence would be infinite for any p; log S is bounded from below by that of float32's
    smallest normal number.
    """

    needs_similarity = True

    def __init__(self, similarity: Tensor, soft_weight: float, **ingredients):
        super().__init__(similarity, soft_weight, **ingredients)
        self.register_buffer("log_similarity", similarity.clamp_min(_FLOOR).log())

    def forward(
        self, logits: Tensor, labels: Tensor, targets: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        wide = logits if logits.dtype == torch.float64 else logits.float()
        log_p = torch.log_softmax(wide, dim=1)
        ce = F.nll_loss(log_p, labels)
        difference = log_p - self.log_similarity[labels]
        kl = (log_p.exp() * difference).sum(1).mean()
        correct = (logits.argmax(1) == labels).sum()
        parts = torch.stack([ce.detach().double(), kl.detach().double(), correct.double()])
        return self.loss_scale * (ce + self.soft_weight * kl), parts
