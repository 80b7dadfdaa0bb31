"""Bugs that other loss kernels shipped, each with a test named after it."""

import os

import pytest
import torch

from ffdwv_fast import InputError, ffdwv_loss
from tests.loss.cases import Case, assert_loss_matches, expected, make_case


def test_gradient_written_over_the_logits():
    # Liger-Kernel#272, #1251: saved tensors upstream were corrupted.
    case = make_case(64, 10)
    kept = [t.clone() for t in case]
    logits = case.logits.requires_grad_()
    ffdwv_loss(logits, case.labels, case.similarity).backward()
    assert all(torch.equal(a.detach(), b) for a, b in zip(case, kept, strict=True))
    assert logits.grad.data_ptr() != logits.data_ptr()


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_reduction_none_or_a_scaled_loss(reduction):
    # Liger-Kernel#680, #1298: only grad_out = ones was right.
    case = make_case(6, 10)
    grad_out = torch.linspace(-2, 3, 6) if reduction == "none" else torch.tensor(-2.5)
    assert_loss_matches(case, ffdwv_loss, grad_out=grad_out, reduction=reduction)


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_second_backward_on_a_retained_graph(scale):
    # The saved gradient, scaled in place, was scaled twice.
    case = make_case(6, 10)
    logits = case.logits.requires_grad_()
    loss = ffdwv_loss(logits * 1, case.labels, case.similarity) * scale
    (first,) = torch.autograd.grad(loss, logits, retain_graph=True)
    first.mul_(7)  # what a caller does to its gradient must not reach the saved one
    (second,) = torch.autograd.grad(loss, logits)
    torch.testing.assert_close(second.double() * 7, first.double(), rtol=1e-6, atol=0)
    torch.testing.assert_close(
        second.double(), expected(case, grad_out=scale).grad, rtol=2e-6, atol=1e-7
    )


def test_leaf_gradient_accumulates_over_retained_backwards():
    case = make_case(6, 10)
    logits = case.logits.requires_grad_()
    loss = ffdwv_loss(logits, case.labels, case.similarity)
    loss.backward(retain_graph=True)
    once = logits.grad.clone()
    loss.backward()
    assert torch.equal(logits.grad, 2 * once)


def test_bfloat16_label_entry_where_the_net_is_sure():
    # Liger-Kernel#1329: p_y - 1 by read-modify-write in bf16 was 100 % wrong at p_y = 0.999.
    for gap in (5.0, 7.0, 9.0):
        logits = torch.zeros(1, 3, dtype=torch.bfloat16)
        logits[0, 1] = gap
        case = Case(logits, torch.tensor([1]), None)
        logits = logits.requires_grad_()
        ffdwv_loss(logits, case.labels, None).backward()
        want = expected(case).grad
        assert want[0, 1].abs() < 0.02
        torch.testing.assert_close(logits.grad.double(), want, rtol=2**-8, atol=0)


def test_float32_label_entry_where_the_net_is_sure():
    logits = torch.tensor([[0.0, 12.0, 0.5]])
    case = Case(logits, torch.tensor([1]), None)
    logits = logits.clone().requires_grad_()
    ffdwv_loss(logits, case.labels, None).backward()
    torch.testing.assert_close(logits.grad.double(), expected(case).grad, rtol=1e-6, atol=0)


def test_odd_widths_from_513_to_1023():
    # pytorch#147284.
    for c in range(513, 1024):
        assert_loss_matches(
            make_case(2, c, similarity_layout="expanded"), ffdwv_loss, what=f"C = {c}"
        )


def test_row_offsets_beyond_two_to_the_31st():
    # pytorch#85005, #111484: int32 offsets. The pages between the two rows are never touched.
    case = make_case(2, 100, torch.bfloat16)
    stride = 2**31 + 11
    far = torch.empty(stride + 100, dtype=torch.bfloat16).as_strided((2, 100), (stride, 1))
    far.copy_(case.logits)
    assert_loss_matches(case._replace(logits=far), ffdwv_loss)


@pytest.mark.skipif(
    os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") < 8 * 2**30,
    reason="needs 8 GiB of free memory",
)
def test_more_than_two_to_the_31st_logits():
    n, c = 2**21 + 1, 1024
    assert n * c > 2**31
    case = make_case(1, c, torch.bfloat16)
    labels = torch.full((n,), -100, dtype=torch.int32)
    labels[-1] = case.labels[0]
    logits = case.logits.expand(n, c).requires_grad_()
    parts = ffdwv_loss(logits, labels, case.similarity, return_parts=True)
    (grad,) = torch.autograd.grad(parts.loss, logits)
    want = expected(case)
    assert parts.loss.item() == pytest.approx(want.loss.item(), rel=2e-6)
    torch.testing.assert_close(grad[-1].double(), want.grad[0], rtol=2**-8, atol=1e-7)
    assert not grad[: 2**21].any()


def test_strided_expanded_and_misaligned_inputs():
    # TransformerEngine#2734, unsloth#10713.
    for layout in ("transposed", "strided", "sliced", "misaligned", "expanded"):
        assert_loss_matches(make_case(9, 33, layout=layout), ffdwv_loss, what=layout)


@pytest.mark.parametrize("bad", [10, -1, 2**40, -(2**40)])
def test_label_out_of_range_raises_and_the_process_lives(bad):
    # pytorch#18014.
    case = make_case(4, 10)
    labels = case.labels.clone()
    labels[2] = bad
    with pytest.raises(InputError, match=rf"^labels\[2\] = {bad} is outside \[0, 10\)[^\n]*$"):
        ffdwv_loss(case.logits, labels, case.similarity)
    assert_loss_matches(case, ffdwv_loss)


def test_ignored_rows_left_unwritten():
    # Liger-Kernel#1338: freed memory full of NaN showed through.
    case = make_case(512, 100)
    labels = torch.where(torch.arange(512) % 2 == 0, case.labels, -100)
    for _ in range(3):
        del_me = torch.full((512, 100), torch.nan)
        del del_me
        logits = case.logits.detach().requires_grad_()
        parts = ffdwv_loss(logits, labels, case.similarity, reduction="none", return_parts=True)
        parts.loss.sum().backward()
        assert torch.equal(logits.grad[1::2], torch.zeros(256, 100))
        assert all(torch.equal(part[1::2], torch.zeros_like(part[1::2])) for part in parts)
        assert (logits.grad[::2] != 0).any(dim=1).all()
