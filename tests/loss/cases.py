"""Inputs for the loss and what they should give: float64, from PyTorch's own losses.

`make_case` is where inputs are made, `expected` where their results are. Values are drawn on the
CPU whatever the device, so that all get the same, and expectations are computed there.
"""

import os
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ffdwv_fast.loss.arguments import REDUCTIONS, SOFT_KINDS

LAYOUTS = ("contiguous", "transposed", "strided", "sliced", "misaligned", "expanded")
SIMILARITY_LAYOUTS = ("contiguous", "transposed", "expanded", "none")

# Relative to the size of the quantity. Logits are exact in every dtype, sums are float64, exp and
# log p are float32 for the three narrow types (2^-24 each, a few of them); what is stored last is
# rounded to the dtype of the result: the loss to float32, the gradient to that of the logits.
LOSS_TOLERANCE = {
    torch.float64: 1e-12,
    torch.float32: 2e-6,
    torch.bfloat16: 2e-6,
    torch.float16: 2e-6,
}
GRAD_TOLERANCE = {
    torch.float64: 1e-12,
    torch.float32: 2e-6,
    torch.bfloat16: 2**-8,
    torch.float16: 2**-11,
}
# The gradient is a difference of terms as large as its weights (over the divisor of a mean), each
# with a few roundings of 2^-24; for what float16 adds, see FLOAT16_HALF_SPACING.
GRAD_ABSOLUTE = {
    torch.float64: 1e-15,
    torch.float32: 2**-22,
    torch.bfloat16: 2**-22,
    torch.float16: 2**-22,
}
FLOAT16_HALF_SPACING = 2**-25  # below 2^-14
WIDER = 4  # times as much where a row is summed in float32: a few more roundings of 2^-24


class Case(NamedTuple):
    logits: Tensor
    labels: Tensor
    similarity: Tensor | None


class Expected(NamedTuple):
    loss: Tensor
    ce: Tensor
    kl: Tensor
    correct: Tensor
    grad: Tensor


def lay_out(values: Tensor, layout: str) -> Tensor:
    """The same values [N, C] with other strides (for "expanded": row 0 everywhere)."""
    n, c = values.shape
    if layout == "transposed":
        return values.t().contiguous().t()
    if layout == "strided":
        return torch.stack([values, -values], dim=2)[:, :, 0]
    if layout == "sliced":
        return torch.cat([values, -values], dim=1)[:, :c]
    if layout == "misaligned":
        return torch.cat([values.new_zeros(1), values.reshape(-1)])[1:].view(n, c)
    if layout == "expanded":
        return values[:1].expand(n, c)
    return values.contiguous()


def similarity_of(
    classes: int, layout: str, dtype: torch.dtype, g: torch.Generator, device: str = "cpu"
) -> Tensor | None:
    if layout == "none":
        return None
    if layout == "expanded":
        share = torch.full((1, 1), 1 / classes, dtype=dtype, device=device)
        return share.expand(classes, classes)
    spread = torch.randn(classes, classes, generator=g, dtype=torch.float64) * 2
    rows = torch.softmax(spread, dim=1)
    rows[rows < 1e-4] = 0  # exact zeros too
    return lay_out((rows / rows.sum(1, keepdim=True)).to(device, dtype), layout)


def make_case(
    n: int,
    c: int,
    dtype: torch.dtype = torch.float32,
    *,
    layout: str = "contiguous",
    similarity_layout: str = "contiguous",
    label_dtype: torch.dtype = torch.int64,
    seed: int = 0,
    device: str = "cpu",
) -> Case:
    """Random logits [n, c], labels [n] and S [c, c], or None for `similarity_layout` "none"."""
    g = torch.Generator().manual_seed(seed * 1_000_003 + n * 10_007 + c)
    logits = (torch.randn(n, c, generator=g) * 3).to(dtype)
    labels = torch.randint(0, c, (n,), generator=g).to(label_dtype)
    # Half precision S as half precision users have it, else float32 or the wide one.
    similarity = similarity_of(c, similarity_layout, torch.float32, g, device)
    return Case(lay_out(logits.to(device), layout), labels.to(device), similarity)


def soft_targets(case: Case, rows: Tensor) -> Tensor | None:
    """The soft target of each row, [N, C] float64 on the CPU; None for cross-entropy alone.

    Args:
        case: the inputs.
        rows: [N] on the CPU, which row of S is whose target.
    """
    if case.similarity is None:
        return None
    # Picked where S lies: an expanded one would be written out on its way.
    return case.similarity[rows.to(case.similarity.device)].cpu().double()


def op_arguments(case: Case, **options) -> tuple:
    """The arguments of torch.ops.ffdwv_fast.ffdwv_loss in the order of its schema.

    `options` are by the schema's names; what is not given is as ffdwv_loss has it.
    """
    values = {
        "logits": case.logits,
        "labels": case.labels,
        "soft": case.similarity,
        "neg_entropy": None,
        "grad_out": None,
        "soft_kind": 0 if case.similarity is None else SOFT_KINDS["similarity"],
        "temperature": 1.0,
        "ce_weight": 1.0,
        "soft_weight": 1.0,
        "grad_scale": 1.0,
        "reduction": REDUCTIONS["mean"],
        "ignore_index": -100,
        "compute_grad": False,
    } | options
    schema = torch.ops.ffdwv_fast.ffdwv_loss.default._schema
    return tuple(values[argument.name] for argument in schema.arguments)


def expected(
    case: Case,
    soft_weight: float = 1.0,
    ce_weight: float = 1.0,
    reduction: str = "mean",
    ignore_index: int = -100,
    grad_out: Tensor | float = 1.0,
) -> Expected:
    """The loss and its gradient by F.cross_entropy and F.kl_div, in float64 on the CPU."""
    logits = case.logits.detach().cpu().double().requires_grad_()
    labels = case.labels.cpu().long()
    counts = labels != ignore_index
    ce = F.cross_entropy(logits, labels, reduction="none", ignore_index=ignore_index)
    soft = soft_targets(case, torch.where(counts, labels, 0))
    if soft is None:
        kl = torch.zeros_like(ce)
    else:
        # A target of 0 contributes 0 even under a logit of -inf, where F.kl_div has 0 * -inf.
        log_p = F.log_softmax(logits, dim=1).masked_fill(soft == 0, 0)
        kl = F.kl_div(log_p, soft, reduction="none").sum(1) * counts
    loss = ce_weight * ce + soft_weight * kl
    correct = ((logits.argmax(1) == labels) & counts).long()
    if reduction != "none":
        divisor = counts.sum() if reduction == "mean" else 1
        loss, ce, kl, correct = (
            loss.sum() / divisor,
            ce.sum() / divisor,
            kl.sum() / divisor,
            correct.sum(),
        )
    grad_out = torch.as_tensor(grad_out, dtype=torch.float64).cpu().expand_as(loss)
    (grad,) = torch.autograd.grad(loss, logits, grad_out)
    return Expected(loss.detach(), ce.detach(), kl.detach(), correct, grad)


def sums_on(device: torch.device) -> torch.dtype:
    """What ffdwv_loss sums the rows of narrow logits in: float64 on the CPU, else float32."""
    return torch.float64 if device.type == "cpu" else torch.float32


def assert_near(
    actual: Tensor, wanted: Tensor, relative: float, absolute: float, what: str = ""
) -> None:
    """Compare on the CPU, in float64."""
    torch.testing.assert_close(
        actual.detach().cpu().double(),
        wanted.detach().cpu().double(),
        rtol=relative,
        atol=absolute,
        msg=lambda m: f"{what}: {m}",
    )


def assert_identical(actual, wanted, what: str = "") -> None:
    """Tensors or sequences of them: bit for bit, but a NaN is a NaN and 0 is -0."""
    torch.testing.assert_close(
        actual, wanted, rtol=0, atol=0, equal_nan=True, msg=lambda m: f"{what}: {m}"
    )


def assert_gradient_near(
    case: Case, grad: Tensor, wanted: Tensor, what: str = "", *, grad_out=1.0, sums=None, **options
) -> None:
    """A gradient of the loss against that of `expected`; arguments as for `assert_matches`."""
    dtype = case.logits.dtype
    upstream = torch.as_tensor(grad_out).detach().double().abs()
    size = float(upstream.max()) if upstream.numel() else 1.0
    size *= options.get("ce_weight", 1.0) + options.get("soft_weight", 1.0)
    if options.get("reduction", "mean") == "mean":
        size /= max(1, int((case.labels != options.get("ignore_index", -100)).sum()))
    absolute = GRAD_ABSOLUTE[dtype] * size * _wider(case, sums)
    if dtype == torch.float16:
        absolute += FLOAT16_HALF_SPACING
    relative = max(GRAD_TOLERANCE[dtype], loss_tolerance(case, sums))
    assert grad.dtype == dtype
    assert_near(grad, wanted, relative, absolute, f"{what} gradient")


def assert_matches(
    case: Case, parts, grad: Tensor, what: str = "", *, grad_out=None, sums=None, **options
) -> None:
    """Loss, parts and gradient against `expected`.

    Args:
        case: the inputs.
        parts: LossParts.
        grad: the gradient of `grad_out` . loss with respect to the logits.
        what: begins the message of a failure.
        grad_out: upstream gradient; None for ones.
        sums: the dtype in which a row was summed (float64 logits: always float64); None for that of
            ffdwv_loss on the device of the case.
        options: as ffdwv_loss takes them.
    """
    dtype = case.logits.dtype
    grad_out = torch.ones_like(parts.loss) if grad_out is None else grad_out
    want = expected(case, grad_out=grad_out, **options)
    tolerance = loss_tolerance(case, sums)
    scale = _deepest_logit(case)
    if options.get("reduction") == "sum":
        scale *= max(1, len(case.labels))
    for name in ("loss", "ce", "kl"):
        got = getattr(parts, name)
        assert got.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        assert_near(got, getattr(want, name), tolerance, tolerance * scale, f"{what} {name}")
    assert torch.equal(parts.correct.cpu(), want.correct), f"{what} correct"
    assert_gradient_near(case, grad, want.grad, what, grad_out=grad_out, sums=sums, **options)


def loss_tolerance(case: Case, sums: torch.dtype | None = None) -> float:
    """How far the loss may be off, relative to its size or the deepest logit's."""
    return LOSS_TOLERANCE[case.logits.dtype] * _wider(case, sums)


def _wider(case: Case, sums: torch.dtype | None) -> int:
    device = case.logits.device
    if case.logits.dtype == torch.float64:
        return 1 if device.type == "cpu" else WIDER  # CUDA's exp and log are within 1 ulp, not 0.5
    return 1 if (sums or sums_on(device)) == torch.float64 else WIDER


def _deepest_logit(case: Case) -> float:
    # Cancellation between log s and x_y - max x leaves the error of the larger: of the logit
    # deepest below its row's maximum. What all logits have in common costs nothing.
    logits = case.logits.detach().cpu().double()
    if logits.numel() == 0:
        return 1.0
    depths = logits.amax(dim=1, keepdim=True) - logits
    return 1 + float(depths[depths.isfinite()].max())


def gradient_of(
    case: Case, loss_function: Callable, *, grad_out: Tensor | None = None, **options
) -> tuple[NamedTuple, Tensor]:
    """Forward and backward through autograd, waiting for nothing.

    Args:
        case: the inputs.
        loss_function: called as ffdwv_loss is, with return_parts.
        grad_out: upstream gradient, on the device of the case; None for ones.
        options: as ffdwv_loss takes them.

    Returns:
        LossParts, detached, and the gradient with respect to the logits.
    """
    logits = case.logits.detach().requires_grad_()
    parts = loss_function(logits, case.labels, case.similarity, return_parts=True, **options)
    grad_out = torch.ones_like(parts.loss) if grad_out is None else grad_out
    (grad,) = torch.autograd.grad(parts.loss, logits, grad_out)
    return type(parts)(*(part.detach() for part in parts)), grad


def assert_loss_matches(
    case: Case, loss_function, what: str = "", *, grad_out=None, sums=None, **options
) -> None:
    """`assert_matches` for a function that is called as ffdwv_loss is and differentiable.

    `grad_out` may be on any device.
    """
    on_device = None if grad_out is None else grad_out.to(case.logits.device)
    parts, grad = gradient_of(case, loss_function, grad_out=on_device, **options)
    assert_matches(case, parts, grad, what, grad_out=grad_out, sums=sums, **options)


def skip_below(device: str, gib: float) -> None:
    """Skip the test where the device has less memory free."""
    if device == "cpu":
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    else:
        torch.cuda.empty_cache()
        free, _ = torch.cuda.mem_get_info()
    if free < gib * 2**30:
        pytest.skip(f"needs {gib} GiB of free memory on {device}")
