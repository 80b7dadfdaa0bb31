"""The fused losses as functions."""

import torch
from torch import Tensor

from ffdwv_fast.errors import InputError
from ffdwv_fast.loss.arguments import (
    LossArguments,
    check_arguments,
    check_smoothing,
    check_soft_target_values,
    uniform_matrix,
)
from ffdwv_fast.loss.parts import LossParts, named
from ffdwv_fast.loss.run import loss_and_parts, loss_parts_grad


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
    return _result(
        LossArguments(logits, labels, similarity, ce_weight, soft_weight, reduction, ignore_index),
        return_parts,
    )


def soft_target_loss(
    logits: Tensor,
    labels: Tensor,
    soft_targets: Tensor,
    soft_weight: float = 1.0,
    *,
    ce_weight: float = 1.0,
    reduction: str = "mean",
    ignore_index: int = -100,
    return_parts: bool = False,
    check_soft_targets: bool = False,
) -> Tensor | LossParts:
    """CE(y) + soft_weight * KL(t || softmax(logits)) with a row of soft targets for each sample.

    `ffdwv_loss` with t[i] in place of S[y]: for targets that are not a function of the class, such
    as annotators' votes, mixed samples or a teacher's stored probabilities.

    Args:
        logits: [N, C], as in `ffdwv_loss`.
        labels: [N], as in `ffdwv_loss`.
        soft_targets: t, [N, C] float32 or of the logits' dtype, any strides, rows summing to 1. No
            gradient flows to it.
        soft_weight: weight of the KL term.
        ce_weight: weight of the cross-entropy term.
        reduction: as in `ffdwv_loss`.
        ignore_index: as in `ffdwv_loss`.
        return_parts: return `LossParts` instead of the loss alone.
        check_soft_targets: read the values of `soft_targets` and refuse what is no distribution: a
            pass over them, and on a GPU a wait, on every call; not under torch.compile. Without it
            a row that does not sum to 1 is used as it is.

    Returns:
        The loss, as `ffdwv_loss`.

    Raises:
        InputError: as `ffdwv_loss`; with check_soft_targets, values that are negative, not finite
            or do not sum to 1 by rows.
    """
    a = LossArguments(
        logits, labels, _given(soft_targets, "soft_targets"), ce_weight, soft_weight, reduction,
        ignore_index, "soft_targets",
    )  # fmt: skip
    if check_soft_targets:
        if torch.compiler.is_compiling():
            raise InputError(
                "check_soft_targets reads values, which torch.compile cannot; check them in eager"
            )
        check_arguments(a)
        check_soft_target_values(soft_targets)
    return _result(a, return_parts)


def distillation_loss(
    logits: Tensor,
    labels: Tensor,
    teacher_logits: Tensor,
    temperature: float = 4.0,
    soft_weight: float = 1.0,
    *,
    ce_weight: float = 1.0,
    reduction: str = "mean",
    ignore_index: int = -100,
    return_parts: bool = False,
) -> Tensor | LossParts:
    """CE(y) + soft_weight * T^2 KL(softmax(teacher / T) || softmax(logits / T)) in one pass.

    Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network" (2015), section 2: the
    factor T^2 keeps the soft term's gradient of one size whatever the temperature. Both softmaxes,
    the loss and the gradient come from one kernel; no [N, C] intermediate is formed.

    Args:
        logits: the student's, [N, C], as in `ffdwv_loss`.
        labels: [N], as in `ffdwv_loss`.
        teacher_logits: [N, C] float32 or of the logits' dtype, any strides. It may require grad,
            but no gradient flows to it.
        temperature: T, above 0, of the soft term alone.
        soft_weight: weight of the soft term. Hinton's alpha: ce_weight = 1 - alpha, soft_weight =
            alpha.
        ce_weight: weight of the cross-entropy term.
        reduction: as in `ffdwv_loss`.
        ignore_index: as in `ffdwv_loss`.
        return_parts: return `LossParts` instead of the loss alone.

    Returns:
        The loss, as `ffdwv_loss`.

    Raises:
        InputError: as `ffdwv_loss`.
    """
    a = LossArguments(
        logits, labels, _given(teacher_logits, "teacher_logits"), ce_weight, soft_weight, reduction,
        ignore_index, "teacher_logits", temperature,
    )  # fmt: skip
    return _result(a, return_parts)


def label_smoothing_loss(
    logits: Tensor,
    labels: Tensor,
    smoothing: float = 0.1,
    *,
    reduction: str = "mean",
    ignore_index: int = -100,
    return_parts: bool = False,
) -> Tensor | LossParts:
    """F.cross_entropy(logits, labels, label_smoothing=smoothing) in one pass over the logits.

    (1 - smoothing) * CE(y) + smoothing * mean_j(-log p_j): the uniform distribution is the one row
    of a matrix that takes no memory.

    Args:
        logits: [N, C], as in `ffdwv_loss`.
        labels: [N], as in `ffdwv_loss`.
        smoothing: share of the uniform distribution in the target, from 0 to 1.
        reduction: as in `ffdwv_loss`.
        ignore_index: as in `ffdwv_loss`.
        return_parts: return `LossParts` instead of the loss alone.

    Returns:
        The loss, as `ffdwv_loss`.

    Raises:
        InputError: as `ffdwv_loss`.
    """
    check_smoothing(smoothing)
    uniform = None
    if isinstance(logits, Tensor) and logits.dim() == 2 and logits.shape[1] > 0:
        uniform = uniform_matrix(logits)  # else the logits are refused
    a = LossArguments(
        logits, labels, uniform, 1.0 - smoothing, smoothing, reduction, ignore_index, "smoothing"
    )
    return _result(a, return_parts)


def loss_and_grad(
    logits: Tensor,
    labels: Tensor,
    similarity: Tensor | None = None,
    soft_weight: float = 1.0,
    *,
    ce_weight: float = 1.0,
    soft_targets: Tensor | None = None,
    teacher_logits: Tensor | None = None,
    temperature: float = 4.0,
    reduction: str = "mean",
    ignore_index: int = -100,
    loss_scale: float | Tensor = 1.0,
) -> tuple[LossParts, Tensor]:
    """The loss and its gradient at once, without autograd, to go on with `logits.backward(grad)`.

    parts, grad = loss_and_grad(logits, labels, S)
    logits.backward(grad)

    does what `ffdwv_loss(logits, labels, S).backward()` does, with less between the kernel and the
    network, and on any device writes the gradient once whatever the loss scale.

    Args:
        logits: [N, C], as in `ffdwv_loss`.
        labels: [N], as in `ffdwv_loss`.
        similarity: S of `ffdwv_loss`. At most one of this and the next two; none of them gives
            cross-entropy alone.
        soft_weight: weight of the soft term.
        ce_weight: weight of the cross-entropy term.
        soft_targets: those of `soft_target_loss`, [N, C].
        teacher_logits: those of `distillation_loss`, [N, C].
        temperature: of `distillation_loss`; used with teacher_logits only.
        reduction: as in `ffdwv_loss`; for "none" the gradient is that of the rows' sum.
        ignore_index: as in `ffdwv_loss`.
        loss_scale: multiplies the gradient, not the loss: a number above 0, or a tensor of one on
            the device of the logits, such as `GradScaler.scale(torch.ones((), device=...))`. The
            tensor is not waited for.

    Returns:
        parts: `LossParts`, none of which carries a gradient.
        grad: [N, C] of the logits' dtype: d loss / d logits times loss_scale.

    Raises:
        InputError: as the functions above; more than one kind of soft targets; a bad loss_scale.
    """
    kind, soft = _one_kind(similarity, soft_targets, teacher_logits)
    a = LossArguments(
        logits, labels, soft, ce_weight, soft_weight, reduction, ignore_index, kind, temperature
    )
    loss, parts, grad = loss_parts_grad(a, loss_scale)
    return named(loss, parts), grad


def _result(a: LossArguments, return_parts: bool) -> Tensor | LossParts:
    loss, parts = loss_and_parts(a)
    return named(loss, parts) if return_parts else loss


def _one_kind(
    similarity: Tensor | None, soft_targets: Tensor | None, teacher_logits: Tensor | None
) -> tuple[str, Tensor | None]:
    """The name and value of the one that is not None; "similarity" and None if all are."""
    if soft_targets is None and teacher_logits is None:
        return "similarity", similarity
    values = (similarity, soft_targets, teacher_logits)
    given = [pair for pair in zip(_KINDS, values, strict=True) if pair[1] is not None]
    if len(given) > 1:
        raise InputError(f"{' and '.join(name for name, _ in given)} are given; pass one of them")
    return given[0]


_KINDS = ("similarity", "soft_targets", "teacher_logits")


def _given(soft: Tensor | None, name: str) -> Tensor:
    if soft is None:
        raise InputError(f"{name} is None; pass a torch.Tensor [N, C], or use ffdwv_loss")
    return soft
