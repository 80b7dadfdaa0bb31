"""What is compared: the losses, and who computes them."""

import importlib.util
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

import ffdwv_fast
from benchmarks.loss_inputs import Inputs

TEMPERATURE = 4.0

Step = Callable[[Inputs], Tensor]
"""Forward and backward pass; returns the loss."""


class Workload(NamedTuple):
    """A loss, as one would write it in PyTorch.

    Attributes:
        formula: of an Inputs' fields; the definition, and in float64 the reference.
        similarity: whether it takes S.
        teacher: whether it takes a teacher's logits.
    """

    formula: Callable[[Tensor, Tensor, Tensor | None, Tensor | None], Tensor]
    similarity: bool = False
    teacher: bool = False


def _class_rows(logits, labels, similarity, _teacher):
    soft = F.kl_div(F.log_softmax(logits, 1), similarity[labels], reduction="batchmean")
    return F.cross_entropy(logits, labels) + soft


def _with_teacher(logits, labels, _similarity, teacher):
    log_p = F.log_softmax(logits / TEMPERATURE, 1)
    target = F.softmax(teacher / TEMPERATURE, 1)
    soft = F.kl_div(log_p, target, reduction="batchmean") * TEMPERATURE**2
    return F.cross_entropy(logits, labels) + soft


def _hard_labels(logits, labels, _similarity, _teacher):
    return F.cross_entropy(logits, labels)


WORKLOADS: dict[str, Workload] = {
    "class rows": Workload(_class_rows, similarity=True),
    "teacher": Workload(_with_teacher, teacher=True),
    "hard labels": Workload(_hard_labels),
}


class Contender(NamedTuple):
    """One line of the registry.

    Attributes:
        name: in tables.
        workloads: names of what it can compute.
        make: from a workload to its step.
        missing: why it cannot run on a device, or None.
        ours: whether a failure is this package's fault, and so an error.
        overwrites: whether it writes to the logits, and so gets copies.
        capturable: whether it can be part of a CUDA graph.
        note: what a reader has to know.
    """

    name: str
    workloads: tuple[str, ...]
    make: Callable[[Workload], Step]
    missing: Callable[[torch.device], str | None] = lambda _device: None
    ours: bool = False
    overwrites: bool = False
    capturable: bool = True
    note: str = ""


def _backward_of(loss_of: Callable[..., Tensor]) -> Step:
    def step(inputs: Inputs) -> Tensor:
        loss = loss_of(*inputs)
        loss.backward()
        return loss

    return step


def _eager(workload: Workload) -> Step:
    return _backward_of(workload.formula)


def _compiled(workload: Workload) -> Step:
    # Each size gets a compilation of its own, without what was learnt from the sizes before.
    torch._dynamo.reset()
    return _backward_of(torch.compile(workload.formula, dynamic=False))


def _ffdwv_loss(_workload: Workload) -> Step:
    loss = ffdwv_fast.ffdwv_loss
    return _backward_of(lambda logits, labels, similarity, _: loss(logits, labels, similarity))


def _distillation_loss(_workload: Workload) -> Step:
    loss = ffdwv_fast.distillation_loss

    def loss_of(logits, labels, _similarity, teacher):
        return loss(logits, labels, teacher, TEMPERATURE, soft_weight=1.0, ce_weight=1.0)

    return _backward_of(loss_of)


def _loss_and_grad(_workload: Workload) -> Step:
    loss_and_grad = ffdwv_fast.loss_and_grad

    def step(inputs: Inputs) -> Tensor:
        logits, labels, similarity, _ = inputs
        parts, grad = loss_and_grad(logits, labels, similarity)
        logits.backward(grad)
        return parts.loss

    return step


def _liger(workload: Workload) -> Step:
    from liger_kernel.transformers import LigerCrossEntropyLoss
    from liger_kernel.transformers.kl_div import LigerKLDIVLoss

    cross_entropy, divergence = LigerCrossEntropyLoss(), LigerKLDIVLoss(reduction="batchmean")

    def loss_of(logits, labels, similarity, _teacher):
        if not workload.similarity:
            return cross_entropy(logits, labels)
        # First, since the cross-entropy writes its gradient over the logits.
        soft = divergence(F.log_softmax(logits, 1), similarity[labels])
        return cross_entropy(logits, labels) + soft

    return _backward_of(loss_of)


def _ours(name: str) -> Callable[[torch.device], str | None]:
    def missing(device: torch.device) -> str | None:
        if not hasattr(ffdwv_fast, name):
            return f"ffdwv_fast has no {name} yet"
        info = ffdwv_fast.build_info()
        if not info["native"]:
            return str(info["reason"])
        if device.type == "cuda" and not info.get("cuda_architectures"):
            return "the native library was built without CUDA kernels"
        return None

    return missing


def _liger_missing(device: torch.device) -> str | None:
    if device.type != "cuda":
        return "runs on GPUs only"
    if importlib.util.find_spec("liger_kernel") is None:
        return "liger-kernel is not installed"
    return None


BASELINES = ("eager", "compiled")

CONTENDERS: tuple[Contender, ...] = (
    Contender("eager", tuple(WORKLOADS), _eager, note="PyTorch's own functions"),
    Contender("compiled", tuple(WORKLOADS), _compiled, note="torch.compile of eager"),
    Contender(
        "ffdwv_loss", ("class rows", "hard labels"), _ffdwv_loss, _ours("ffdwv_loss"), ours=True
    ),
    Contender(
        "loss_and_grad",
        ("class rows", "hard labels"),
        _loss_and_grad,
        _ours("loss_and_grad"),
        ours=True,
        note="followed by logits.backward(grad)",
    ),
    Contender(
        "distillation_loss",
        ("teacher",),
        _distillation_loss,
        _ours("distillation_loss"),
        ours=True,
    ),
    Contender(
        "liger",
        ("class rows", "hard labels"),
        _liger,
        _liger_missing,
        overwrites=True,
        capturable=False,
        note="Liger-Kernel fuses no CE + KL from logits: its cross-entropy (which overwrites the "
        "logits) plus its KL divergence of torch's log_softmax",
    ),
)
