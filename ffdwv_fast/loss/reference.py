"""The loss in plain PyTorch: what the kernels are tested against, and the fallback."""

import torch
from torch import Tensor

from ffdwv_fast.loss.arguments import LossArguments, loss_dtype


def reference_loss(a: LossArguments) -> tuple[Tensor, Tensor]:
    """CE(y) and the soft term of every kind from PyTorch's own operators, for autograd.

    Same semantics as the fused op, and several times its memory and time. A label outside [0, C)
    that is not ignore_index makes its row's loss, parts and gradient NaN, so that a GPU process
    survives it; on the CPU the callers check.

    Args:
        a: arguments that have passed check_arguments.

    Returns:
        loss: [] or, for reduction "none", [N]; float64 for float64 logits, else float32.
        parts: [3] or [3, N] float64, detached: ce, kl (reduced as the loss is) and correct (a
            count, or 0 and 1 per row).
    """
    counts = a.labels != a.ignore_index
    is_good = counts & (a.labels >= 0) & (a.labels < a.logits.shape[1])
    labels = torch.where(is_good, a.labels, 0).long()

    log_p = torch.log_softmax(a.logits.to(loss_dtype(a.logits)), dim=1)
    ce = -log_p.gather(1, labels[:, None]).squeeze(1)
    kl = torch.zeros_like(ce) if a.soft is None else _soft_term(a, labels, log_p)
    loss = _weighted(a.ce_weight, ce) + _weighted(a.soft_weight, kl)
    correct = ((a.logits.argmax(1) == labels) & ~ce.isnan() & is_good).double()

    # A factor, unlike a value that is filled in, marks the gradient too.
    factor = torch.where(counts & ~is_good, torch.nan, 1.0).to(loss.dtype)
    rows = (torch.stack([loss, ce, kl]) * factor).masked_fill(~counts, 0)
    if a.reduction == "none":
        return rows[0], torch.cat([rows[1:].double(), correct[None]]).detach()
    total = rows.double().sum(1) if a.reduction == "sum" else rows.double().sum(1) / counts.sum()
    parts = torch.stack([total[1], total[2], correct.sum()]).detach()
    return total[0].to(rows.dtype), parts


def _soft_term(a: LossArguments, labels: Tensor, log_p: Tensor) -> Tensor:
    if a.kind == "similarity":
        return _kl(a.soft[labels], log_p)
    if a.kind == "soft_targets":
        return _kl(a.soft, log_p)
    if a.kind == "smoothing":
        return -log_p.mean(1)
    t = a.temperature
    teacher = torch.softmax(a.soft.detach().to(log_p.dtype) / t, dim=1)
    return t * t * _kl(teacher, torch.log_softmax(a.logits.to(log_p.dtype) / t, dim=1))


def _kl(soft: Tensor, log_p: Tensor) -> Tensor:
    soft = soft.to(log_p.dtype)
    # A soft target of 0 contributes 0 even where log p is -inf.
    cross = torch.where(soft == 0, 0, soft * log_p)
    return (torch.special.xlogy(soft, soft) - cross).sum(1)


def _weighted(weight: float, value: Tensor) -> Tensor:
    return value * weight if weight != 0 else torch.zeros_like(value)
