"""What the loss accepts: checks that explain bad input, and what is computed once per matrix."""

import math
import weakref
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from ffdwv_fast.errors import InputError

LOGITS_DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
LABEL_DTYPES = (torch.int64, torch.int32)
REDUCTIONS = {"none": 0, "mean": 1, "sum": 2}  # the codes of ATen's at::Reduction

# What the soft targets are, by the name of the argument they came in: the op's soft_kind.
SOFT_KINDS = {"similarity": 1, "smoothing": 1, "soft_targets": 2, "teacher_logits": 3}

_ELEMENTS_AT_ONCE = 1 << 22  # of S, when its values are read: bounds the float64 copy to 32 MiB


class LossArguments(NamedTuple):
    """The arguments of a loss, whichever function they came through.

    `soft` is by `kind`: "similarity" S [C, C], "soft_targets" [N, C], "teacher_logits" [N, C],
    "smoothing" a `uniform_matrix`; None for cross-entropy alone. `temperature` is the teacher's.
    """

    logits: Tensor
    labels: Tensor
    soft: Tensor | None
    ce_weight: float
    soft_weight: float
    reduction: str
    ignore_index: int
    kind: str = "similarity"
    temperature: float = 1.0


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
    if a.soft is not None:
        _check_soft(a)


def reduction_code(reduction: str) -> int:
    """ATen's code of a reduction by name."""
    try:
        return REDUCTIONS[reduction]
    except (KeyError, TypeError):
        raise InputError(
            f"reduction is {reduction!r}; use one of {', '.join(REDUCTIONS)}"
        ) from None


def is_number(value: object) -> bool:
    """A finite int or float."""
    return isinstance(value, (int, float)) and math.isfinite(value)


def check_temperature(temperature: float) -> None:
    """Raise InputError unless it is a finite number above 0."""
    if not is_number(temperature) or temperature <= 0:
        raise InputError(f"temperature is {temperature!r}; it must be a finite number above 0")


def check_smoothing(smoothing: float) -> None:
    """Raise InputError unless it is a number in [0, 1]."""
    if not is_number(smoothing) or not 0 <= smoothing <= 1:
        raise InputError(f"smoothing is {smoothing!r}; it must be a number from 0 to 1")


def check_loss_scale(loss_scale: float | Tensor, logits: Tensor) -> None:
    """Raise InputError unless it is a positive number, or a tensor of one on the logits' device.

    The value of a tensor is not looked at: that would wait for the device.
    """
    if not isinstance(loss_scale, Tensor):
        if not is_number(loss_scale) or loss_scale <= 0:
            raise InputError(
                f"loss_scale is {loss_scale!r}; it must be a finite number above 0, or a tensor of "
                "one"
            )
    elif loss_scale.numel() != 1 or not loss_scale.is_floating_point():
        raise InputError(
            f"loss_scale has shape {tuple(loss_scale.shape)} and dtype {loss_scale.dtype}; "
            "it must be one floating number"
        )
    elif loss_scale.device != logits.device:
        raise InputError(
            f"loss_scale is on {loss_scale.device}, the logits on {logits.device}; "
            "pass a float or move it"
        )


def _check_options(a: LossArguments) -> None:
    reduction_code(a.reduction)
    for name, weight in (("ce_weight", a.ce_weight), ("soft_weight", a.soft_weight)):
        if not is_number(weight) or weight < 0:
            raise InputError(f"{name} is {weight!r}; it must be a finite number, 0 or more")
    if not isinstance(a.ignore_index, int):
        raise InputError(f"ignore_index is {a.ignore_index!r}; it must be an int")
    check_temperature(a.temperature)


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


_WHAT_TO_PASS = {
    "similarity": "the torch.Tensor [C, C] that similarity_matrix() gives, or None for "
    "cross-entropy alone",
    "soft_targets": "a torch.Tensor [N, C], one row of probabilities for each row of logits",
    "teacher_logits": "a torch.Tensor [N, C], the teacher's logits for the same rows",
}


def _check_soft(a: LossArguments) -> None:
    soft, logits, name = a.soft, a.logits, a.kind
    if not isinstance(soft, Tensor):
        raise InputError(f"{name} is a {type(soft).__name__}; pass {_WHAT_TO_PASS[name]}")
    if soft.dtype not in (torch.float32, logits.dtype):
        raise InputError(
            f"{name} has dtype {soft.dtype}; use float32 or that of the logits, {logits.dtype}"
        )
    _check_soft_shape(a)
    if soft.device != logits.device:
        raise InputError(
            f"{name} is on {soft.device}, the logits on {logits.device}; "
            f"use {name}.to({str(logits.device)!r})"
        )
    if soft.requires_grad and name != "teacher_logits":
        raise InputError(f"{name} requires grad, but no gradient flows to it; pass {name}.detach()")


def _check_soft_shape(a: LossArguments) -> None:
    rows, classes = a.logits.shape
    letters, wanted = "[N, C]", (rows, classes)
    if SOFT_KINDS[a.kind] == SOFT_KINDS["similarity"]:
        letters, wanted = "[C, C]", (classes, classes)
    if tuple(a.soft.shape) != wanted:
        raise InputError(
            f"{a.kind} has shape {tuple(a.soft.shape)}; it must be {letters} = {list(wanted)} "
            f"for logits of shape {tuple(a.logits.shape)}"
        )


def soft_inputs(
    a: LossArguments, values_are_known: bool = True
) -> tuple[Tensor | None, Tensor | None, int]:
    """The one place where a kind of soft targets becomes arguments of the op.

    Args:
        a: as the public function got them.
        values_are_known: False in a graph that is being compiled.

    Returns:
        The op's soft, neg_entropy and soft_kind.

    Raises:
        InputError: values of a similarity matrix that are no probabilities (see
            `prepare_similarity`); targets that require grad, as none flows to them. Of a teacher
            that is documented.
    """
    soft, kind = a.soft, a.kind
    if soft is None:
        return None, None, 0
    if kind != "teacher_logits" and soft.requires_grad:
        check_arguments(a)
    neg_entropy = None
    if kind == "similarity":
        if values_are_known:
            neg_entropy = prepare_similarity(soft)
    elif kind == "smoothing":
        # The term of label smoothing is -mean_j log p_j: KL(uniform || p) without its constant.
        zeros = _zeros_once if values_are_known else _zeros
        neg_entropy = zeros(soft.shape[0], soft.device)
    return soft, neg_entropy, SOFT_KINDS[kind]


def uniform_matrix(logits: Tensor) -> Tensor:
    """A [C, C] matrix of 1 / C that takes one number of memory."""
    classes = logits.shape[1]
    dtype = loss_dtype(logits)
    if torch.compiler.is_compiling():
        return _uniform(classes, dtype, logits.device)
    return _uniform_once(classes, dtype, logits.device)


def _uniform(classes: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.full((1, 1), 1 / classes, dtype=dtype, device=device).expand(classes, classes)


@lru_cache(maxsize=64)
def _uniform_once(classes: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        return _uniform(classes, dtype, device)


def _zeros(classes: int, device: torch.device) -> Tensor:
    return torch.zeros(1, dtype=torch.float64, device=device).expand(classes)


@lru_cache(maxsize=64)
def _zeros_once(classes: int, device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        return _zeros(classes, device)


# By id, which is cheaper to look up than the tensor; an entry goes with its tensor.
_prepared: dict[int, tuple[weakref.ref, int, Tensor]] = {}


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
    try:
        version = similarity._version
    except RuntimeError:  # an inference tensor has none
        version = 0
    key = id(similarity)
    known = _prepared.get(key)
    if known is not None and known[0]() is similarity and known[1] == version:
        return known[2]
    if not _values_can_be_read(similarity):
        return None
    neg_entropy = _check_rows(similarity)
    reference = weakref.ref(similarity, lambda _: _prepared.pop(key, None))
    _prepared[key] = (reference, version, neg_entropy)
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
    return _neg_entropies(distinct, _MATRIX_ROWS).expand(classes).contiguous()


def check_soft_target_values(soft_targets: Tensor) -> None:
    """Read soft targets [N, C] and raise InputError unless every row is a distribution."""
    _neg_entropies(soft_targets.detach(), _TARGET_ROWS)


class _RowsName(NamedTuple):
    """How messages speak of rows of probabilities."""

    name: str
    bad_entry: str
    bad_sum: str


_MATRIX_ROWS = _RowsName(
    "similarity",
    "pass what similarity_matrix() gives, not distances or logits",
    "pass what similarity_matrix() gives (a matrix normalised by columns needs .t())",
)
_TARGET_ROWS = _RowsName(
    "soft_targets",
    "pass probabilities, such as softmax(dim=1) gives",
    "pass probabilities, such as softmax(dim=1) gives",
)


def _neg_entropies(rows: Tensor, name: _RowsName) -> Tensor:
    rows_at_once = max(1, _ELEMENTS_AT_ONCE // rows.shape[1])
    chunks = rows.split(rows_at_once)
    return torch.cat(
        [_check_chunk(chunk, number * rows_at_once, name) for number, chunk in enumerate(chunks)]
    )


def _check_chunk(rows: Tensor, first: int, name: _RowsName) -> Tensor:
    # A sum of entries rounded to half precision strays further from 1.
    tolerance = 1e-2 if rows.dtype in (torch.bfloat16, torch.float16) else 1e-3
    values = rows.double()
    bad_entries = ~(values >= 0) | torch.isinf(values)
    if bool(bad_entries.any()):
        i, j = (int(k) for k in bad_entries.nonzero()[0])
        raise InputError(
            f"{name.name}[{first + i}, {j}] = {float(values[i, j])}; entries must be finite and 0 "
            f"or more: {name.bad_entry}"
        )
    sums = values.sum(1)
    bad_rows = (sums - 1).abs() > tolerance
    if bool(bad_rows.any()):
        i = int(bad_rows.nonzero()[0])
        raise InputError(
            f"row {first + i} of {name.name} sums to {float(sums[i]):.6g}; each row must sum to 1: "
            f"{name.bad_sum}"
        )
    return torch.special.xlogy(values, values).sum(1)
