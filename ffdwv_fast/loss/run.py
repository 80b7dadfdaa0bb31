"""Which way a loss takes: to the op, in eager mode or in a compiled graph, or to the reference."""

import math

import torch
from torch import Tensor

from ffdwv_fast.errors import InputError
from ffdwv_fast.loss import op
from ffdwv_fast.loss.arguments import (
    LossArguments,
    check_arguments,
    check_loss_scale,
    loss_dtype,
    reduction_code,
    soft_inputs,
)
from ffdwv_fast.loss.reference import reference_loss


def loss_and_parts(a: LossArguments) -> tuple[Tensor, Tensor]:
    """The loss and its parts in one tensor, the cheapest to accumulate over steps.

    Args:
        a: see ffdwv_fast.loss.functional.

    Returns:
        loss as in `ffdwv_loss`; parts [3] or [3, N] float64, detached: ce, kl, correct.
    """
    if torch.compiler.is_compiling():
        if not _is_native(a.logits):
            return _by_reference(a)
        tensors, options = _op_arguments(a, 1.0, values_are_known=False)
        loss, parts, _ = torch.ops.ffdwv_fast.ffdwv_loss(a.logits, *tensors, None, *options, False)
        return loss, parts.detach()
    try:
        if not _is_native(a.logits):
            return _by_reference(a)
        tensors, options = _op_arguments(a, 1.0)
        if a.logits.requires_grad and torch.is_grad_enabled():
            return op.differentiable(a.logits, tensors, options)
        loss, parts, _ = op.call(a.logits, tensors, options, False)
    except _REFUSALS as error:
        _explain(a, error)
        raise
    return loss, parts


def loss_parts_grad(a: LossArguments, loss_scale: float | Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The loss, its parts and loss_scale times its gradient, none of them part of a graph.

    Args:
        a: see ffdwv_fast.loss.functional.
        loss_scale: see `loss_and_grad`.

    Returns:
        loss, parts as `loss_and_parts`; grad [N, C] of the logits' dtype.
    """
    if torch.compiler.is_compiling():
        if not _is_native(a.logits):
            return _gradient_by_reference(a, loss_scale)
        grad_out, grad_scale = _upstream(a, loss_scale)
        tensors, options = _op_arguments(a, grad_scale, values_are_known=False)
        logits = a.logits.detach()
        return torch.ops.ffdwv_fast.ffdwv_loss(logits, *tensors, grad_out, *options, True)
    try:
        if not _is_native(a.logits):
            return _gradient_by_reference(a, loss_scale)
        if not isinstance(loss_scale, float) or not 0.0 < loss_scale < math.inf:
            check_loss_scale(loss_scale, a.logits)
        grad_out, grad_scale = _upstream(a, loss_scale)
        tensors, options = _op_arguments(a, grad_scale)
        if grad_out is None:
            return op.call(a.logits, tensors, options, True)
        return op.call_below_autograd(a.logits, *tensors, grad_out, *options, True)
    except _REFUSALS as error:
        _explain(a, error)
        raise


# What a bad argument raises on its way into the op; the kernels' own checks are terse.
_REFUSALS = (AttributeError, IndexError, RuntimeError, TypeError, ValueError)


def _op_arguments(
    a: LossArguments, grad_scale: float, values_are_known: bool = True
) -> tuple[tuple, tuple]:
    """What the op takes between logits and grad_out, and between that and compute_grad.

    `values_are_known`: tensors have values, which in a graph that is being compiled they have not.
    """
    soft, neg_entropy, soft_kind = soft_inputs(a, values_are_known)
    return (a.labels, soft, neg_entropy), (
        soft_kind,
        a.temperature,
        a.ce_weight,
        a.soft_weight,
        grad_scale,
        reduction_code(a.reduction),
        a.ignore_index,
    )


def _upstream(a: LossArguments, loss_scale: float | Tensor) -> tuple[Tensor | None, float]:
    """A loss scale as the op takes it: (grad_out, grad_scale)."""
    if not isinstance(loss_scale, Tensor):
        return None, loss_scale
    grad_out = loss_scale.detach().to(loss_dtype(a.logits)).reshape(())
    return (grad_out.expand(a.logits.shape[0]) if a.reduction == "none" else grad_out), 1.0


def _is_native(logits: Tensor) -> bool:
    if not isinstance(logits, Tensor):
        return False
    return ("cpu" if logits.is_cpu else logits.device.type) in op.NATIVE_DEVICES


def _check_for_reference(a: LossArguments) -> None:
    check_arguments(a)
    if not torch.compiler.is_compiling():
        op.warn_not_native(a.logits.device.type)
        soft_inputs(a)


def _by_reference(a: LossArguments) -> tuple[Tensor, Tensor]:
    _check_for_reference(a)
    return reference_loss(a)


def _gradient_by_reference(
    a: LossArguments, loss_scale: float | Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    _check_for_reference(a)
    check_loss_scale(loss_scale, a.logits)
    with torch.enable_grad():
        logits = a.logits.detach().requires_grad_()
        loss, parts = reference_loss(a._replace(logits=logits))
        grad_out, grad_scale = _upstream(a, loss_scale)
        upstream = torch.full_like(loss, grad_scale) if grad_out is None else grad_out
        (grad,) = torch.autograd.grad(loss, logits, upstream)
    return loss.detach(), parts, grad


def _explain(a: LossArguments, error: Exception) -> None:
    """Raise InputError for what the op has refused; return if the arguments are not at fault."""
    check_arguments(a)
    for line in str(error).splitlines():
        if "FFDWV_CPU_ISA" in line:
            raise InputError(line) from None
