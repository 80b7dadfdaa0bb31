"""The fused loss as a function."""

from typing import NamedTuple

import torch
from torch import Tensor

from ffdwv_fast.loss import op
from ffdwv_fast.loss.arguments import (
    LossArguments,
    check_arguments,
    prepare_similarity,
    reduction_code,
)
from ffdwv_fast.loss.reference import reference_loss


class LossParts(NamedTuple):
    """The loss and what it is made of; only `loss` carries a gradient.

    Attributes:
        loss: ce_weight * ce + soft_weight * kl. [] or, for reduction "none", [N].
        ce: cross-entropy with the labels (paper, eq. 2), reduced as the loss is.
        kl: KL(S_y || p) (paper, eq. 8), reduced as the loss is; 0 without a similarity matrix.
        correct: int64: how many rows have their largest logit at the label (at the first of equal
            ones, as torch.argmax); for reduction "none" 0 or 1 per row, [N]. Ignored rows count 0.
    """

    loss: Tensor
    ce: Tensor
    kl: Tensor
    correct: Tensor


def ffdwv_loss(
    logits: Tensor,
    labels: Tensor,
    similarity: Tensor | None,
    soft_weight: float = 1.0,
    *,
    ce_weight: float = 1.0,
    reduction: str = "mean",
    ignore_index: int = -100,
    return_parts: bool = False,
) -> Tensor | LossParts:
    """CE(y) + soft_weight * KL(S_y || softmax(logits)) in one pass over the logits.

    Eq. 9 of "A Free-Teacher Framework Driven by Word-Vector". Softmax, both losses, the gradient
    and the number of correct predictions come from one kernel that picks the row of S by the label;
    no [N, C] soft target is formed. KL is summed over the classes and averaged over the batch
    (F.kl_div's "batchmean"). The inputs are never written to. The result has the same bits for any
    number of threads. Differentiable once, with respect to the logits alone.

    Args:
        logits: [N, C] float32, float64, bfloat16 or float16, any strides. Sums are kept in float32
            or wider whatever the dtype.
        labels: [N] int64 or int32, in [0, C) or ignore_index.
        similarity: S, [C, C] float32 or of the logits' dtype, any strides (an expanded view too),
            rows summing to 1; see `similarity_matrix`. Its values are checked once per matrix, not
            on every call. None gives cross-entropy alone.
        soft_weight: weight of the KL term (lambda); 1 in the paper.
        ce_weight: weight of the cross-entropy term.
        reduction: "mean" over the rows that count, "sum" or "none".
        ignore_index: rows with this label contribute neither loss nor gradient. The mean over no
            rows is NaN with a gradient of zero, as in F.cross_entropy.
        return_parts: return `LossParts` instead of the loss alone.

    Returns:
        The loss: [] or, for reduction "none", [N]; float64 for float64 logits, else float32.

    Raises:
        InputError: shapes, dtypes, devices, options, labels or values of S that do not fit; a
            ValueError of one line.
    """
    loss, parts = loss_and_parts(
        LossArguments(logits, labels, similarity, ce_weight, soft_weight, reduction, ignore_index)
    )
    if not return_parts:
        return loss
    ce, kl, correct = parts
    return LossParts(loss, ce.to(loss.dtype), kl.to(loss.dtype), correct.long())


def loss_and_parts(a: LossArguments) -> tuple[Tensor, Tensor]:
    """The loss and its parts in one tensor, the cheapest to accumulate over steps.

    Args:
        a: see `ffdwv_loss`.

    Returns:
        loss as in `ffdwv_loss`; parts [3] or [3, N] float64, detached: ce, kl, correct.
    """
    compiling = torch.compiler.is_compiling()
    if isinstance(a.similarity, Tensor) and a.similarity.requires_grad:
        check_arguments(a)  # refuses; a kernel would give it no gradient without a word
    if not isinstance(a.logits, Tensor) or a.logits.device.type not in op.NATIVE_DEVICES:
        check_arguments(a)
        if not compiling:
            op.warn_not_native(a.logits.device.type)
        if a.similarity is not None and not compiling:
            prepare_similarity(a.similarity)
        return reference_loss(a)
    options = (a.ce_weight, a.soft_weight, reduction_code(a.reduction), a.ignore_index)
    if compiling:
        loss, parts, _ = torch.ops.ffdwv_fast.ffdwv_loss(*a[:3], None, None, *options, False)
        return loss, parts.detach()
    try:
        return _eager(a, options)
    except (AttributeError, IndexError, RuntimeError, TypeError, ValueError):
        check_arguments(a)  # explains; the kernels' own checks are terse
        raise


def _eager(a: LossArguments, options: tuple) -> tuple[Tensor, Tensor]:
    neg_entropy = None if a.similarity is None else prepare_similarity(a.similarity)
    if a.logits.requires_grad and torch.is_grad_enabled():
        return op.FusedLoss.apply(*a[:3], neg_entropy, *options)
    loss, parts, _ = op.call_below_autograd(*a[:3], neg_entropy, None, *options, False)
    return loss, parts
