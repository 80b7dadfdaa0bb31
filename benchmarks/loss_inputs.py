"""Inputs of the loss benchmark: sets that rotate, and the bytes a call has to move."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.hardware import last_level_cache

_MOST_SETS = {"cpu": 16384, "cuda": 64}
_MOST_BYTES = {"cpu": 1 << 30, "cuda": 4 << 30}
_LARGEST_MATRIX = 1 << 30  # bytes; beyond, S is one row, expanded
_TINY_SETS = 64
FEWEST_SETS = 3


class Inputs(NamedTuple):
    """What one call of a loss gets.

    Attributes:
        logits: [N, C], not a leaf.
        labels: [N] int64.
        similarity: S, [C, C] float32, or None.
        teacher: logits of a teacher, [N, C] of the logits' dtype, or None.
    """

    logits: Tensor
    labels: Tensor
    similarity: Tensor | None
    teacher: Tensor | None


class Case(NamedTuple):
    """What is measured together: one workload at one size.

    Attributes:
        workload: name, as in WORKLOADS.
        dtype: of the logits.
        rows: N.
        classes: C.
        device: where.
        cached: use few sets of inputs, which stay in the processor's cache, as logits are when the
            last layer has just written them.
    """

    workload: str
    dtype: torch.dtype
    rows: int
    classes: int
    device: torch.device
    cached: bool = False


def not_a_leaf(values: Tensor) -> Tensor:
    """Logits as a network's last layer would give them: with a grad_fn, made once.

    The node that stands for the network throws the gradient away, in C++ and without a look at it.
    So every contender pays the same, and less than for any real layer: no gradient is copied, as a
    leaf would, and none is kept. The values have left the leaf, whose memory is given back.
    """
    leaf = values.requires_grad_()
    logits = torch._C._functions.UndefinedGrad()(leaf)
    leaf.untyped_storage().resize_(0)
    return logits


def make_sets(case: Case, similarity: bool, teacher: bool, tiny: bool) -> list[Inputs]:
    """Sets of random inputs, enough to exceed the last-level cache unless the case is `cached`.

    Args:
        case: their size.
        similarity: whether they have a matrix S.
        teacher: whether they have a teacher's logits.
        tiny: make a few only.
    """
    g = torch.Generator(case.device).manual_seed(0)
    shape = (case.rows, case.classes)
    size = case.rows * case.classes * case.dtype.itemsize * (2 if teacher else 1)
    count = FEWEST_SETS if case.cached else set_count(size, case.device, tiny)
    matrix = _matrix(case, g) if similarity else None

    def logits() -> Tensor:
        return (torch.randn(shape, generator=g, device=case.device) * 3).to(case.dtype)

    return [
        Inputs(
            not_a_leaf(logits()),
            torch.randint(case.classes, shape[:1], generator=g, device=case.device),
            matrix,
            logits() if teacher else None,
        )
        for i in range(count)
    ]


def set_count(size: int, device: torch.device, tiny: bool) -> int:
    """How many sets of `size` bytes rotate.

    On a CPU as many as fill twice the last-level cache. On a GPU, where the cache is flushed
    before each sample, as many as make a sample long.
    """
    most = _TINY_SETS if tiny else _MOST_SETS[device.type]
    enough = most if device.type == "cuda" else math.ceil(2 * last_level_cache(device) / size)
    return max(FEWEST_SETS, min(enough, most, _MOST_BYTES[device.type] // size))


def bytes_of_a_call(inputs: Inputs) -> int:
    """The least that loss and gradient have to move.

    Logits once, gradient once, a teacher's logits once, and of S the rows of the labels that
    occur; of an expanded S the one row there is. Labels are left out.
    """
    logits = inputs.logits
    size = 2 * logits.numel() * logits.element_size()
    if inputs.teacher is not None:
        size += inputs.teacher.numel() * inputs.teacher.element_size()
    if inputs.similarity is not None:
        expanded = inputs.similarity.stride(0) == 0
        rows = 1 if expanded else len(inputs.labels.unique())
        size += rows * logits.shape[1] * inputs.similarity.element_size()
    return size


def _matrix(case: Case, g: torch.Generator) -> Tensor:
    """S, one for all sets, as training has one."""
    expanded = case.classes**2 * 4 > _LARGEST_MATRIX
    rows = 1 if expanded else case.classes
    matrix = torch.randn(rows, case.classes, generator=g, device=case.device).softmax(1)
    return matrix.expand(case.classes, case.classes)
