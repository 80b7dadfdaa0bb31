"""The loss and its gradient against float64, over shapes, strides, dtypes and options."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ffdwv_fast import ffdwv_loss
from ffdwv_fast.loss.arguments import LossArguments
from ffdwv_fast.loss.functional import LossParts
from ffdwv_fast.loss.reference import reference_loss
from tests.loss.cases import (
    LAYOUTS,
    SIMILARITY_LAYOUTS,
    Case,
    assert_gradient_near,
    assert_loss_matches,
    assert_near,
    expected,
    gradient_of,
    loss_tolerance,
    make_case,
)

DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]


def reference(
    logits,
    labels,
    similarity,
    soft_weight=1.0,
    *,
    ce_weight=1.0,
    reduction="mean",
    ignore_index=-100,
    return_parts=True,
):
    """The PyTorch reference, called as ffdwv_loss is."""
    assert return_parts
    loss, parts = reference_loss(
        LossArguments(logits, labels, similarity, ce_weight, soft_weight, reduction, ignore_index)
    )
    return LossParts(loss, parts[0].to(loss.dtype), parts[1].to(loss.dtype), parts[2].long())


SUMS = {ffdwv_loss: None, reference: torch.float32}  # what rows are summed in
IMPLEMENTATIONS = pytest.mark.parametrize(
    "loss", [ffdwv_loss, reference], ids=["native", "reference"]
)


@IMPLEMENTATIONS
def test_hand_worked_row(loss, device):
    # x = (0, ln 2, ln 5): p = (1/8, 2/8, 5/8); y = 1, S_y = (1/4, 1/2, 1/4).
    wide = dict(dtype=torch.float64, device=device)
    logits = torch.tensor([[0.0, math.log(2), math.log(5)]], requires_grad=True, **wide)
    similarity = torch.tensor([[1, 0, 0], [0.25, 0.5, 0.25], [0, 0, 1]], **wide)
    parts = loss(logits, torch.tensor([1], device=device), similarity, return_parts=True)
    ce = math.log(4)
    kl = 0.25 * math.log(2) + 0.5 * math.log(2) + 0.25 * math.log(0.4)
    parts.loss.backward()
    assert parts.ce.item() == pytest.approx(ce, abs=1e-14)
    assert parts.kl.item() == pytest.approx(kl, abs=1e-14)
    assert parts.loss.item() == pytest.approx(ce + kl, abs=1e-14)
    assert parts.correct.item() == 0
    np.testing.assert_allclose(
        logits.grad[0].cpu(), [2 / 8 - 1 / 4, 4 / 8 - 3 / 2, 10 / 8 - 1 / 4], atol=1e-14
    )


@IMPLEMENTATIONS
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    "widths", [range(1, 131), (255, 256, 257, 1000, 1024, 2049, 5000)], ids=["1-130", "wide"]
)
def test_every_width(loss, dtype, widths, device):
    for c in widths:
        case = make_case(5, c, dtype, device=device)
        assert_loss_matches(case, loss, what=f"C = {c}", sums=SUMS[loss])


@IMPLEMENTATIONS
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("similarity_layout", SIMILARITY_LAYOUTS)
def test_every_layout(loss, dtype, layout, similarity_layout, device):
    layouts = dict(layout=layout, similarity_layout=similarity_layout)
    for n, c in [(1, 1), (7, 10), (33, 17), (4, 100)]:
        case = make_case(n, c, dtype, device=device, **layouts)
        assert_loss_matches(case, loss, what=f"[{n}, {c}]", sums=SUMS[loss])


@IMPLEMENTATIONS
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_random_shapes_strides_and_options(loss, device, data):
    draw = data.draw
    n, c = draw(st.integers(1, 70)), draw(st.integers(1, 300))
    case = make_case(
        n,
        c,
        draw(st.sampled_from(DTYPES)),
        layout=draw(st.sampled_from(LAYOUTS)),
        similarity_layout=draw(st.sampled_from(SIMILARITY_LAYOUTS)),
        label_dtype=draw(st.sampled_from([torch.int64, torch.int32])),
        seed=draw(st.integers(0, 1000)),
        device=device,
    )
    ignore_index = draw(st.sampled_from([-100, -1, 0, c - 1]))
    labels = case.labels.clone()
    labels[torch.arange(n, device=device) % draw(st.integers(2, 5)) == 1] = ignore_index
    if bool((labels == ignore_index).all()):
        labels[0] = (ignore_index + 1) % c if c > 1 else ignore_index
    if c == 1 and ignore_index == 0:
        return  # nothing counts: test_mean_over_no_rows
    reduction = draw(st.sampled_from(["mean", "sum", "none"]))
    shape = (n,) if reduction == "none" else ()
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    grad_dtype = torch.float64 if case.logits.dtype == torch.float64 else torch.float32
    assert_loss_matches(
        case._replace(labels=labels),
        loss,
        grad_out=torch.randn(shape, generator=generator, dtype=torch.float64).to(grad_dtype),
        soft_weight=draw(st.sampled_from([0.0, 0.3, 1.0, 2.5])),
        ce_weight=draw(st.sampled_from([0.0, 0.5, 1.0])),
        reduction=reduction,
        ignore_index=ignore_index,
        sums=SUMS[loss],
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64], ids=str)
def test_similarity_in_the_dtype_of_the_logits(dtype, device):
    case = make_case(9, 20, dtype, device=device)
    assert_loss_matches(case._replace(similarity=case.similarity.to(dtype)), ffdwv_loss)


def test_labels_with_a_stride(device):
    case = make_case(8, 10, device=device)
    strided = torch.stack([case.labels, torch.full_like(case.labels, 99)], dim=1)[:, 0]
    assert strided.stride() == (2,)
    assert_loss_matches(case._replace(labels=strided), ffdwv_loss)


@IMPLEMENTATIONS
def test_minimum_is_twice_the_jensen_shannon_divergence(loss, device):
    # At p = q = (e_y + S_y) / 2 the gradient vanishes and the loss is 2 JSD(e_y, S_y).
    similarity = torch.tensor(
        [[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]], dtype=torch.float64, device=device
    )
    for y in range(3):
        one_hot = torch.eye(3, dtype=torch.float64, device=device)[y]
        q = (one_hot + similarity[y]) / 2
        logits = q.log()[None].requires_grad_()
        label = torch.tensor([y], device=device)
        value = loss(logits, label, similarity, return_parts=True).loss
        value.backward()
        entropies = [-(r[r > 0] * r[r > 0].log()).sum() for r in (q, one_hot, similarity[y])]
        jsd = entropies[0] - (entropies[1] + entropies[2]) / 2
        assert value.item() == pytest.approx(2 * jsd.item(), abs=1e-14)
        assert logits.grad.abs().max() < (1e-15 if device == "cpu" else 4e-15)  # exp: 0.5, 1 ulp


@IMPLEMENTATIONS
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_no_rows(loss, reduction, device):
    logits = torch.zeros(0, 10, device=device, requires_grad=True)
    parts = loss(
        logits,
        torch.zeros(0, dtype=torch.int64, device=device),
        torch.eye(10, device=device),
        reduction=reduction,
        return_parts=True,
    )
    if reduction == "none":
        assert parts.loss.shape == parts.ce.shape == parts.kl.shape == parts.correct.shape == (0,)
    else:
        # 0 / 0 for the mean, as F.cross_entropy has it.
        assert math.isnan(parts.loss.item()) if reduction == "mean" else parts.loss.item() == 0
        assert parts.correct == 0
    parts.loss.sum().backward()
    assert logits.grad.shape == (0, 10)


def test_mean_over_no_rows_is_nan_with_a_zero_gradient(device):
    case = make_case(4, 10, device=device)
    parts, grad = gradient_of(case._replace(labels=torch.full_like(case.labels, -100)), ffdwv_loss)
    assert math.isnan(parts.loss.item())
    assert torch.equal(grad, torch.zeros(4, 10, device=device))


@IMPLEMENTATIONS
def test_one_class(loss, device):
    parts, grad = gradient_of(make_case(3, 1, device=device), loss)
    assert parts.loss.item() == 0
    assert parts.correct == 3
    assert torch.equal(grad, torch.zeros(3, 1, device=device))


def test_two_hundred_thousand_classes_with_an_expanded_matrix(device):
    c = 200_000
    case = make_case(3, c, similarity_layout="none", device=device)
    # C x C floats would be 160 GB.
    uniform = torch.full((1, 1), 1 / c, device=device).expand(c, c)
    parts = ffdwv_loss(case.logits, case.labels, uniform, return_parts=True)
    log_p = torch.log_softmax(case.logits.cpu().double(), dim=1)
    share = uniform[0, 0].cpu().double()
    kl = (c * share * share.log() - share * log_p.sum(1)).mean()
    ce = -log_p[torch.arange(3), case.labels.cpu()].mean()
    assert parts.ce.item() == pytest.approx(ce.item(), rel=1e-6)
    assert parts.kl.item() == pytest.approx(kl.item(), rel=1e-6)


@pytest.mark.parametrize(("dtype", "offset"), [(torch.float64, 1e7), (torch.float32, 1e4)], ids=str)
def test_a_common_offset_costs_no_accuracy(dtype, offset, device):
    case = make_case(6, 30, dtype, device=device)
    shifted = case.logits + offset
    assert_loss_matches(
        Case((shifted - offset), case.labels, case.similarity),
        lambda logits, *rest, **options: ffdwv_loss(logits + offset, *rest, **options),
    )


def test_minus_infinity_outside_the_label_and_where_the_target_is_zero(device):
    logits = torch.tensor([[1.0, -math.inf, 0.5]], device=device)
    similarity = torch.tensor([[0.75, 0.0, 0.25], [0, 1, 0], [0, 0, 1]], device=device)
    case = Case(logits, torch.tensor([0], device=device), similarity)
    parts, grad = gradient_of(case, ffdwv_loss)
    want = expected(
        Case(torch.tensor([[1.0, 0.5]]), torch.tensor([0]), torch.tensor([[0.75, 0.25], [0, 1]]))
    )
    assert_near(parts.loss, want.loss, loss_tolerance(case), 0)
    assert_gradient_near(case, grad[:, [0, 2]], want.grad)
    assert grad[0, 1] == 0


def test_minus_infinity_under_a_positive_target_is_an_infinite_loss(device):
    parts = ffdwv_loss(
        torch.tensor([[1.0, -math.inf]], device=device),
        torch.tensor([0], device=device),
        torch.full((2, 2), 0.5, device=device),
        return_parts=True,
    )
    assert parts.kl == parts.loss == math.inf
    assert parts.ce == 0


def test_nan_logits_give_nan_and_no_correct_prediction(device):
    logits = torch.tensor([[1.0, math.nan], [2.0, 1.0]], device=device)
    case = Case(logits, torch.tensor([0, 0], device=device), torch.eye(2, device=device))
    parts, grad = gradient_of(case, ffdwv_loss, reduction="none")
    assert parts.loss[0].isnan()
    assert grad[0].isnan().all()
    assert parts.loss[1].isfinite()
    assert grad[1].isfinite().all()
    assert parts.correct.tolist() == [0, 1]


@IMPLEMENTATIONS
def test_of_equal_logits_the_first_is_the_prediction(loss, device):
    logits = torch.tensor([[1.0, 2.0, 2.0], [1.0, 2.0, 2.0]], device=device)
    labels = torch.tensor([1, 2], device=device)
    similarity = torch.eye(3, device=device)
    parts = loss(logits, labels, similarity, reduction="none", return_parts=True)
    assert parts.correct.tolist() == [1, 0]


@pytest.mark.cpu_only("threads are the CPU's; for a GPU see tests/cuda/test_determinism.py")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("n", "c"), [(4000, 10), (300, 1000), (16, 5000)])
def test_same_bits_for_any_number_of_threads(dtype, n, c):
    case = make_case(n, c, dtype)
    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 2, 3, 7):
            torch.set_num_threads(count)
            parts, grad = gradient_of(case, ffdwv_loss)
            results.append([*parts, grad])
    finally:
        torch.set_num_threads(threads)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))
