"""Soft targets per row and teachers, emulated, against float64: every width and tier edge."""

import math

import pytest
import torch
from torch.nn import functional as F

from tests.emulation.emulated import emulated_loss
from tests.loss.cases import GRAD_TOLERANCE, assert_near, lay_out

FLOATS = [torch.float32, torch.bfloat16, torch.float16]
DTYPES = [*FLOATS, torch.float64]
VARIANTS = ("soft targets", "teacher")
TIER_EDGES = (32, 128, 512, 2048, 4096)  # csrc/cuda/tiers.cuh
ONE_PER_TIER = (10, 100, 300, 1500, 3000, 4200)
TEMPERATURE = 4.0
# The gradient of a teacher at T is T times a difference of two probabilities.
ABSOLUTE = {torch.float64: 1e-14}


def make(variant, n, c, dtype, soft_dtype=torch.float32, layout="contiguous"):
    """Logits, labels and what the variant has for soft targets, [n, c]."""
    g = torch.Generator().manual_seed(n * 10_007 + c)
    logits = (torch.randn(n, c, generator=g) * 3).to(dtype)
    labels = torch.randint(0, c, (n,), generator=g)
    soft = torch.randn(n, c, generator=g) * 3
    if variant == "soft targets":
        soft = torch.softmax(soft, dim=1)
        soft[soft < 1e-4] = 0
    return lay_out(logits, layout), labels, lay_out(soft.to(soft_dtype), layout)


def expected(variant, logits, labels, soft, temperature=TEMPERATURE, upstream=1.0):
    """Losses per row and the gradient of `upstream` times their sum, float64, from PyTorch."""
    x = logits.double().detach().requires_grad_()
    ce = F.cross_entropy(x, labels, reduction="none")
    if variant == "teacher":
        log_p = F.log_softmax(x / temperature, dim=1)
        log_q = F.log_softmax(soft.double() / temperature, dim=1)
        kl = temperature**2 * F.kl_div(log_p, log_q, reduction="none", log_target=True).sum(1)
    else:
        kl = F.kl_div(F.log_softmax(x, dim=1), soft.double(), reduction="none").sum(1)
    (grad,) = torch.autograd.grad(upstream * (0.7 * ce + 1.3 * kl).sum(), x)
    return ce.detach(), kl.detach(), grad


def check(variant, logits, labels, soft, what="", temperature=TEMPERATURE, scale=1.0, **options):
    """The emulated kernel against `expected`, reduction "sum" and per row."""
    dtype, n = logits.dtype, len(labels)
    ce, kl, want = expected(variant, logits, labels, soft, temperature, scale)
    kind = dict(teacher=True) if variant == "teacher" else dict(soft_by_row=True)
    bound = 1e-11 if dtype == torch.float64 else 1e-5
    absolute = ABSOLUTE.get(dtype, 2**-19) * max(1.0, scale) * max(1.0, temperature)
    for reduction in ("none", "mean"):
        parts, grad = emulated_loss(
            *(logits, labels, soft, 1.3),
            ce_weight=0.7,
            reduction=reduction,
            temperature=temperature,
            grad_scale=scale,
            **kind,
            **options,
        )
        share = 1 if reduction == "none" else n
        mean = (lambda t: t) if reduction == "none" else torch.mean
        size = float(kl.abs().max() + ce.abs().max())
        assert_near(parts.ce, mean(ce), bound, bound * size, f"{what} ce, {reduction}")
        assert_near(parts.kl, mean(kl), bound, bound * size, f"{what} kl, {reduction}")
        assert_near(parts.loss, mean(0.7 * ce + 1.3 * kl), bound, bound * size, f"{what} loss")
        assert_near(grad, want / share, max(4e-6, GRAD_TOLERANCE[dtype]), absolute, f"{what} grad")


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_width_to_130(variant, dtype):
    for c in range(1, 131):
        check(variant, *make(variant, 3, c, dtype), f"C = {c}", most_blocks=2)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("edge", TIER_EDGES)
def test_tier_edges(variant, dtype, edge):
    for c in (edge - 1, edge, edge + 1):
        check(variant, *make(variant, 2, c, dtype), f"C = {c}", most_blocks=1)


@pytest.mark.parametrize("order", ["ascending", "descending"])
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("c", ONE_PER_TIER)
def test_any_order_of_threads_and_blocks(variant, c, order):
    check(variant, *make(variant, 5, c, torch.float32), f"C = {c}", order=order, most_blocks=2)


@pytest.mark.parametrize("dtype", DTYPES[1:], ids=str)
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("c", ONE_PER_TIER)
def test_soft_in_the_dtype_of_the_logits(variant, c, dtype):
    check(variant, *make(variant, 2, c, dtype, soft_dtype=dtype), f"C = {c}")


@pytest.mark.parametrize("layout", ["transposed", "strided", "misaligned", "expanded"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_layouts(variant, layout):
    for c in (10, 64, 200, 2100):
        check(variant, *make(variant, 3, c, torch.bfloat16, layout=layout), f"C = {c}")


@pytest.mark.parametrize("temperature", [0.5, 1.0, 20.0])
@pytest.mark.parametrize("c", ONE_PER_TIER)
def test_temperatures_and_gradient_scales(c, temperature):
    case = make("teacher", 2, c, torch.float32)
    check("teacher", *case, temperature=temperature, scale=1024.0)


@pytest.mark.parametrize("c", ONE_PER_TIER)
def test_classes_that_the_teacher_rules_out(c):
    # The student may rule them out too: they count for nothing.
    logits, labels, teacher = make("teacher", 2, c, torch.float32)
    labels[:] = 0
    logits[:, 3] = -math.inf
    teacher[:, 3:5] = -math.inf
    kept = torch.arange(c) != 3
    parts, grad = emulated_loss(
        *(logits, labels, teacher), reduction="none", teacher=True, temperature=TEMPERATURE
    )
    want, want_grad = emulated_loss(
        *(logits[:, kept].contiguous(), labels, teacher[:, kept].contiguous()),
        reduction="none",
        teacher=True,
        temperature=TEMPERATURE,
    )
    assert torch.equal(grad[:, 3], torch.zeros(2))
    torch.testing.assert_close(parts.kl, want.kl, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(grad[:, kept], want_grad, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("c", ONE_PER_TIER)
def test_common_offsets_of_the_logits_change_nothing(c):
    logits, labels, teacher = make("teacher", 2, c, torch.float32)
    logits, teacher = (logits * 64).round() / 64, (teacher * 64).round() / 64  # exact with 1e4
    call = dict(reduction="none", teacher=True, temperature=TEMPERATURE)
    plain, grad = emulated_loss(logits, labels, teacher, **call)
    moved, moved_grad = emulated_loss(logits + 10_000, labels, teacher - 10_000, **call)
    assert torch.equal(moved_grad, grad)
    assert torch.equal(moved.loss, plain.loss)
