"""Inputs for the loss and what they should give: float64, from PyTorch's own losses."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

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
# The gradient is a difference of terms as large as its weights, each with a few roundings of 2^-24;
# the spacing of float16 below 2^-14 is no wider.
GRAD_ABSOLUTE = {
    torch.float64: 1e-15,
    torch.float32: 2**-22,
    torch.bfloat16: 2**-22,
    torch.float16: 2**-22,
}


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
    classes: int, layout: str, dtype: torch.dtype, g: torch.Generator
) -> Tensor | None:
    if layout == "none":
        return None
    if layout == "expanded":
        return torch.full((1, 1), 1 / classes, dtype=dtype).expand(classes, classes)
    spread = torch.randn(classes, classes, generator=g, dtype=torch.float64) * 2
    rows = torch.softmax(spread, dim=1)
    rows[rows < 1e-4] = 0  # exact zeros too
    return lay_out((rows / rows.sum(1, keepdim=True)).to(dtype), layout)


def make_case(
    n: int,
    c: int,
    dtype: torch.dtype = torch.float32,
    *,
    layout: str = "contiguous",
    similarity_layout: str = "contiguous",
    label_dtype: torch.dtype = torch.int64,
    seed: int = 0,
) -> Case:
    g = torch.Generator().manual_seed(seed * 1_000_003 + n * 10_007 + c)
    logits = (torch.randn(n, c, generator=g) * 3).to(dtype)
    labels = torch.randint(0, c, (n,), generator=g).to(label_dtype)
    # Half precision S as half precision users have it, else float32 or the wide one.
    similarity = similarity_of(c, similarity_layout, torch.float32, g)
    return Case(lay_out(logits, layout), labels, similarity)


def expected(
    case: Case,
    soft_weight: float = 1.0,
    ce_weight: float = 1.0,
    reduction: str = "mean",
    ignore_index: int = -100,
    grad_out: Tensor | float = 1.0,
) -> Expected:
    """The loss and its gradient by F.cross_entropy and F.kl_div in float64, row by row."""
    logits = case.logits.double().detach().requires_grad_()
    labels = case.labels.long()
    counts = labels != ignore_index
    ce = F.cross_entropy(logits, labels, reduction="none", ignore_index=ignore_index)
    if case.similarity is None:
        kl = torch.zeros_like(ce)
    else:
        soft = case.similarity[torch.where(counts, labels, 0)].double()
        log_p = F.log_softmax(logits, dim=1)
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
    grad_out = torch.as_tensor(grad_out, dtype=torch.float64).expand_as(loss)
    (grad,) = torch.autograd.grad(loss, logits, grad_out)
    return Expected(loss.detach(), ce.detach(), kl.detach(), correct, grad)


def assert_near(
    actual: Tensor, wanted: Tensor, relative: float, absolute: float, what: str
) -> None:
    torch.testing.assert_close(
        actual.double(), wanted.double(), rtol=relative, atol=absolute, msg=lambda m: f"{what}: {m}"
    )


def assert_matches(
    case: Case, parts, grad: Tensor, what: str = "", *, grad_out=None, sums=torch.float64, **options
) -> None:
    """Loss, parts and gradient against `expected`.

    Args:
        case: the inputs.
        parts: LossParts.
        grad: the gradient of `grad_out` . loss with respect to the logits.
        what: begins the message of a failure.
        grad_out: upstream gradient; None for ones.
        sums: the dtype in which a row was summed (float64 logits: always float64).
        options: as ffdwv_loss takes them.
    """
    dtype = case.logits.dtype
    grad_out = torch.ones_like(parts.loss) if grad_out is None else grad_out
    want = expected(case, grad_out=grad_out, **options)
    # A few more roundings of 2^-24 where the sums are float32 too.
    wider = 4 if sums == torch.float32 and dtype != torch.float64 else 1
    # Cancellation between log s and x_y leaves the error of the larger: of the widest logit.
    scale = 1 + float(case.logits.double().abs().max()) if case.logits.numel() else 1.0
    if options.get("reduction") == "sum":
        scale *= max(1, len(case.labels))
    tolerance = LOSS_TOLERANCE[dtype] * wider
    for name in ("loss", "ce", "kl"):
        got = getattr(parts, name)
        assert got.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        assert_near(got, getattr(want, name), tolerance, tolerance * scale, f"{what} {name}")
    assert torch.equal(parts.correct, want.correct), f"{what} correct"
    assert grad.dtype == dtype
    upstream = float(grad_out.double().abs().max()) if grad_out.numel() else 1.0
    weights = options.get("ce_weight", 1.0) + options.get("soft_weight", 1.0)
    absolute = GRAD_ABSOLUTE[dtype] * max(1.0, upstream * weights) * wider
    relative = max(GRAD_TOLERANCE[dtype], LOSS_TOLERANCE[dtype] * wider)
    assert_near(grad, want.grad, relative, absolute, f"{what} gradient")


def assert_loss_matches(
    case: Case, loss_function, what: str = "", *, grad_out=None, sums=torch.float64, **options
) -> None:
    """`assert_matches` for a function that is called as ffdwv_loss is and differentiable."""
    logits = case.logits.detach().requires_grad_()
    parts = loss_function(logits, case.labels, case.similarity, return_parts=True, **options)
    grad_out = torch.ones_like(parts.loss) if grad_out is None else grad_out
    (grad,) = torch.autograd.grad(parts.loss, logits, grad_out)
    assert_matches(case, parts, grad, what, grad_out=grad_out, sums=sums, **options)
