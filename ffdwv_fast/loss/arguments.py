"""What the loss accepts: checks that explain bad input, and what is computed once per matrix."""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from ffdwv_fast.errors import InputError

LOGITS_DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
LABEL_DTYPES = (torch.int64, torch.int32)
REDUCTIONS = {"none": 0, "mean": 1, "sum": 2}  # the codes of ATen's at::Reduction

_ELEMENTS_AT_ONCE = 1 << 22  # of S, when its values are read: bounds the float64 copy to 32 MiB


class LossArguments(NamedTuple):
    """The arguments of the loss as the op takes them."""

    logits: Tensor
    labels: Tensor
    similarity: Tensor | None
    ce_weight: float
    soft_weight: float
    reduction: str
    ignore_index: int


def loss_dtype(logits: Tensor) -> torch.dtype:
    """float64 for float64 logits, float32 for all narrower ones."""
    return torch.float64 if logits.dtype == torch.float64 else torch.float32


def check_arguments(a: LossArguments) -> None:
    """Raise InputError where the shapes, dtypes, devices or numbers do not fit together.

    On the CPU the values of the labels are looked at too; elsewhere that would wait for the device.
    """
    _check_options(a)
    _check_logits(a.logits)
    _check_labels(a)
    if a.similarity is not None:
        _check_similarity(a.similarity, a.logits)


def reduction_code(reduction: str) -> int:
    """ATen's code of a reduction by name."""
    try:
        return REDUCTIONS[reduction]
    except (KeyError, TypeError):
        raise InputError(
            f"reduction is {reduction!r}; use one of {', '.join(REDUCTIONS)}"
        ) from None


def _check_options(a: LossArguments) -> None:
    reduction_code(a.reduction)
    for name, weight in (("ce_weight", a.ce_weight), ("soft_weight", a.soft_weight)):
        if not isinstance(weight, (int, float)) or not math.isfinite(weight) or weight < 0:
            raise InputError(f"{name} is {weight!r}; it must be a finite number, 0 or more")
    if not isinstance(a.ignore_index, int):
        raise InputError(f"ignore_index is {a.ignore_index!r}; it must be an int")


def _check_logits(logits: Tensor) -> None:
    if not isinstance(logits, Tensor):
        raise InputError(f"logits are a {type(logits).__name__}; pass a torch.Tensor [N, C]")
    if logits.dtype not in LOGITS_DTYPES:
        raise InputError(
            f"logits have dtype {logits.dtype}; use float32, float64, bfloat16 or float16"
        )
    if logits.dim() != 2:
        raise InputError(
            f"logits have shape {tuple(logits.shape)}; they must be [N, C] "
            "(flatten further dimensions into N)"
        )
    if logits.shape[1] == 0:
        raise InputError("logits have no classes: their shape must be [N, C] with C >= 1")


def _check_labels(a: LossArguments) -> None:
    labels, (rows, classes) = a.labels, a.logits.shape
    if not isinstance(labels, Tensor):
        raise InputError(f"labels are a {type(labels).__name__}; pass a torch.Tensor [N]")
    if labels.dtype not in LABEL_DTYPES:
        raise InputError(f"labels have dtype {labels.dtype}; use int64 or int32 (labels.long())")
    if tuple(labels.shape) != (rows,):
        raise InputError(
            f"labels have shape {tuple(labels.shape)}; they must be [N] = [{rows}] "
            f"for logits of shape {tuple(a.logits.shape)}"
        )
    if labels.device != a.logits.device:
        raise InputError(
            f"labels are on {labels.device}, the logits on {a.logits.device}; move one to the other"
        )
    if labels.device.type == "cpu":
        bad = (labels != a.ignore_index) & ((labels < 0) | (labels >= classes))
        if bool(bad.any()):
            i = int(bad.nonzero()[0])
            raise InputError(
                f"labels[{i}] = {int(labels[i])} is outside [0, {classes}) and is not "
                f"ignore_index = {a.ignore_index}; check that labels and classes belong together"
            )


def _check_similarity(similarity: Tensor, logits: Tensor) -> None:
    classes = logits.shape[1]
    if not isinstance(similarity, Tensor):
        raise InputError(
            f"similarity is a {type(similarity).__name__}; pass the torch.Tensor [C, C] that "
            "similarity_matrix() gives, or None for cross-entropy alone"
        )
    if similarity.dtype not in (torch.float32, logits.dtype):
        raise InputError(
            f"similarity has dtype {similarity.dtype}; use float32 or that of the logits, "
            f"{logits.dtype}"
        )
    if tuple(similarity.shape) != (classes, classes):
        raise InputError(
            f"similarity has shape {tuple(similarity.shape)}; it must be [C, C] = "
            f"[{classes}, {classes}] for logits of shape {tuple(logits.shape)}"
        )
    if similarity.device != logits.device:
        raise InputError(
            f"similarity is on {similarity.device}, the logits on {logits.device}; "
            f"use similarity.to({str(logits.device)!r}) once, outside the loop"
        )
    if similarity.requires_grad:
        raise InputError(
            "similarity requires grad, but no gradient flows to it; pass similarity.detach()"
        )


_prepared: WeakTensorKeyDictionary = WeakTensorKeyDictionary()


def prepare_similarity(similarity: Tensor) -> Tensor | None:
    """Check the values of S and return its rows' negative entropies, once per matrix.

    The result is kept for as long as the tensor lives and is not written to, so that a training
    loop pays for it in its first step only.

    Args:
        similarity: S, [C, C] floating. Expanded dimensions (stride 0) are read once.

    Returns:
        sum_j S_ij log S_ij, [C] float64 on the device of S; None where the values cannot be looked
        at (while a CUDA graph is captured, under tracing): the op then sums them itself.

    Raises:
        InputError: an entry is negative or not finite, or a row does not sum to 1.
    """
    version = 0 if similarity.is_inference() else similarity._version
    known = _prepared.get(similarity)
    if known is not None and known[0] == version:
        return known[1]
    if not _values_can_be_read(similarity):
        return None
    neg_entropy = _check_rows(similarity)
    _prepared[similarity] = (version, neg_entropy)
    return neg_entropy


def _values_can_be_read(t: Tensor) -> bool:
    if type(t) not in (Tensor, torch.nn.Parameter, torch.nn.Buffer) or t.device.type == "meta":
        return False
    return not (t.device.type == "cuda" and torch.cuda.is_current_stream_capturing())


def _check_rows(similarity: Tensor) -> Tensor:
    classes = similarity.shape[0]
    distinct = similarity.detach()
    if similarity.stride(0) == 0:
        distinct = distinct[:1]
    rows_at_once = max(1, _ELEMENTS_AT_ONCE // classes)
    chunks = distinct.split(rows_at_once)
    neg_entropy = torch.cat(
        [_check_chunk(chunk, first * rows_at_once) for first, chunk in enumerate(chunks)]
    )
    return neg_entropy.expand(classes).contiguous()


def _check_chunk(rows: Tensor, first: int) -> Tensor:
    # A sum of entries rounded to half precision strays further from 1.
    tolerance = 1e-2 if rows.dtype in (torch.bfloat16, torch.float16) else 1e-3
    values = rows.double()
    bad_entries = ~(values >= 0) | torch.isinf(values)
    if bool(bad_entries.any()):
        i, j = (int(k) for k in bad_entries.nonzero()[0])
        raise InputError(
            f"similarity[{first + i}, {j}] = {float(values[i, j])}; entries must be finite and 0 "
            "or more: pass what similarity_matrix() gives, not distances or logits"
        )
    sums = values.sum(1)
    bad_rows = (sums - 1).abs() > tolerance
    if bool(bad_rows.any()):
        i = int(bad_rows.nonzero()[0])
        raise InputError(
            f"row {first + i} of similarity sums to {float(sums[i]):.6g}; each row must sum to 1: "
            "pass what similarity_matrix() gives (a matrix normalised by columns needs .t())"
        )
    return torch.special.xlogy(values, values).sum(1)
