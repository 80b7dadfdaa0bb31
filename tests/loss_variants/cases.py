"""Inputs of the other losses and what they should give: float64, from PyTorch's own functions."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ffdwv_fast import distillation_loss, label_smoothing_loss, loss_and_grad, soft_target_loss
from ffdwv_fast.loss.parts import LossParts
from tests.loss.cases import (
    Case,
    Expected,
    assert_gradient_near,
    assert_near,
    lay_out,
    loss_tolerance,
)

KINDS = ("soft_targets", "teacher_logits", "smoothing")
WITH_TENSOR = ("soft_targets", "teacher_logits")


class Variant(NamedTuple):
    """A loss and its inputs.

    Attributes:
        kind: which of KINDS.
        logits: [N, C].
        labels: [N].
        soft: [N, C] targets or teacher's logits; None for smoothing.
        temperature: the teacher's.
        smoothing: of label smoothing.
    """

    kind: str
    logits: Tensor
    labels: Tensor
    soft: Tensor | None
    temperature: float = 1.0
    smoothing: float = 0.1


def make_variant(
    kind: str,
    n: int,
    c: int,
    dtype: torch.dtype = torch.float32,
    *,
    layout: str = "contiguous",
    soft_dtype: torch.dtype = torch.float32,
    temperature: float = 4.0,
    device: str = "cpu",
) -> Variant:
    """Random inputs; targets have exact zeros and are rounded to their dtype."""
    g = torch.Generator().manual_seed(n * 10_007 + c)
    logits = lay_out((torch.randn(n, c, generator=g) * 3).to(device, dtype), layout)
    labels = torch.randint(0, c, (n,), generator=g).to(device)
    values = torch.randn(n, c, generator=g) * 2
    if kind == "smoothing":
        return Variant(kind, logits, labels, None)
    if kind == "soft_targets":
        values = torch.softmax(values, 1)
        values = values * (values >= 0.1 / c)
    soft = lay_out(values.to(device, soft_dtype), layout)
    t = temperature if kind == "teacher_logits" else 1.0
    return Variant(kind, logits, labels, soft, t)


def call(v: Variant, logits: Tensor, **options) -> LossParts | Tensor:
    """The public function of the kind; `options` are its own."""
    if v.kind == "soft_targets":
        return soft_target_loss(logits, v.labels, v.soft, **options)
    if v.kind == "teacher_logits":
        return distillation_loss(logits, v.labels, v.soft, temperature=v.temperature, **options)
    return label_smoothing_loss(logits, v.labels, v.smoothing, **options)


def call_loss_and_grad(v: Variant, **options) -> tuple[LossParts, Tensor]:
    """loss_and_grad of a kind that has a tensor."""
    return loss_and_grad(
        v.logits, v.labels, temperature=v.temperature, **{v.kind: v.soft}, **options
    )


def autograd_of(v: Variant, **options) -> tuple[LossParts, Tensor]:
    """Loss and gradient through autograd; rows that are not reduced get an upstream of 1."""
    logits = v.logits.detach().requires_grad_()
    parts = call(v, logits, return_parts=True, **options)
    (grad,) = torch.autograd.grad(parts.loss.sum(), logits)
    return LossParts(*(part.detach() for part in parts)), grad


def expected(
    v: Variant,
    soft_weight: float = 1.0,
    ce_weight: float = 1.0,
    reduction: str = "mean",
    ignore_index: int = -100,
    grad_out: Tensor | float = 1.0,
) -> Expected:
    """By F.cross_entropy, F.kl_div and label_smoothing's definition, in float64 on the CPU."""
    logits = v.logits.detach().cpu().double().requires_grad_()
    labels = v.labels.cpu().long()
    counts = labels != ignore_index
    ce = F.cross_entropy(logits, labels, reduction="none", ignore_index=ignore_index)
    if v.kind == "smoothing":
        ce_weight, soft_weight = 1 - v.smoothing, v.smoothing
    soft = _soft_term(v, logits) * counts
    loss = ce_weight * ce + soft_weight * soft
    values = [loss, ce.detach(), soft.detach(), ((logits.argmax(1) == labels) & counts).long()]
    if reduction != "none":
        divisor = counts.sum() if reduction == "mean" else 1
        values = [value.sum() / divisor for value in values[:3]] + [values[3].sum()]
    grad_out = torch.as_tensor(grad_out, dtype=torch.float64).cpu().expand_as(values[0])
    (grad,) = torch.autograd.grad(values[0], logits, grad_out)
    return Expected(values[0].detach(), *values[1:], grad)


def _soft_term(v: Variant, logits: Tensor) -> Tensor:
    if v.kind == "smoothing":
        return -F.log_softmax(logits, 1).mean(1)
    soft, t = v.soft.detach().cpu().double(), v.temperature
    target = F.softmax(soft / t, 1) if v.kind == "teacher_logits" else soft
    # A target of 0 contributes 0 even under a logit of -inf, where F.kl_div has 0 * -inf.
    log_p = F.log_softmax(logits / t, 1).masked_fill(target == 0, 0)
    return t * t * F.kl_div(log_p, target, reduction="none").sum(1)


def assert_variant_matches(
    v: Variant,
    parts: LossParts,
    grad: Tensor,
    what: str = "",
    *,
    grad_out=1.0,
    sums=None,
    **options,
) -> None:
    """Loss, parts and gradient against `expected`, within the bounds of tests/loss/cases.py.

    A teacher's term has the factor T^2, and so has its error, of which that of the tempered logits
    is a 1 / T; its gradient has T.

    Args:
        v: the inputs.
        parts: what the loss gave, on the device of the inputs or the CPU.
        grad: the gradient of `grad_out` . loss with respect to the logits.
        what: begins the message of a failure.
        grad_out: upstream gradient.
        sums: as for `assert_matches` of tests/loss/cases.py.
        options: of the loss.
    """
    want, dtype, t = expected(v, grad_out=grad_out, **options), v.logits.dtype, v.temperature
    case = Case(v.logits, v.labels, None)
    tolerance = loss_tolerance(case, sums)
    absolute = tolerance * t * (t + _depth(v.logits) + (_depth(v.soft) if t != 1 else 0))
    if options.get("reduction") == "sum":
        absolute *= max(1, len(v.labels))
    for name in ("loss", "ce", "kl"):
        got = getattr(parts, name)
        assert got.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        assert_near(got, getattr(want, name), tolerance, absolute, f"{what} {name}")
    assert torch.equal(parts.correct.cpu(), want.correct), f"{what} correct"
    weights = options | {"soft_weight": t * options.get("soft_weight", 1.0)}
    assert_gradient_near(case, grad, want.grad, what, grad_out=grad_out, sums=sums, **weights)


def _depth(logits: Tensor) -> float:
    values = logits.detach().cpu().double()
    depths = values.amax(1, keepdim=True) - values
    return 1 + float(depths[depths.isfinite()].max())
