"""Bugs that other loss kernels shipped, each with a test named after it."""

import pytest
import torch

from ffdwv_fast import InputError, ffdwv_loss
from tests.loss.cases import (
    Case,
    assert_gradient_near,
    assert_loss_matches,
    assert_near,
    expected,
    gradient_of,
    loss_tolerance,
    make_case,
    skip_below,
)


def test_gradient_written_over_the_logits(device):
    # Liger-Kernel#272, #1251: saved tensors upstream were corrupted.
    case = make_case(64, 10, device=device)
    kept = [t.clone() for t in case]
    logits = case.logits.requires_grad_()
    ffdwv_loss(logits, case.labels, case.similarity).backward()
    assert all(torch.equal(a.detach(), b) for a, b in zip(case, kept, strict=True))
    assert logits.grad.data_ptr() != logits.data_ptr()


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_reduction_none_or_a_scaled_loss(reduction, device):
    # Liger-Kernel#680, #1298: only grad_out = ones was right.
    case = make_case(6, 10, device=device)
    grad_out = torch.linspace(-2, 3, 6) if reduction == "none" else torch.tensor(-2.5)
    assert_loss_matches(case, ffdwv_loss, grad_out=grad_out, reduction=reduction)


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_second_backward_on_a_retained_graph(scale, device):
    # The saved gradient, scaled in place, was scaled twice.
    case = make_case(6, 10, device=device)
    logits = case.logits.requires_grad_()
    loss = ffdwv_loss(logits * 1, case.labels, case.similarity) * scale
    (first,) = torch.autograd.grad(loss, logits, retain_graph=True)
    first.mul_(7)  # what a caller does to its gradient must not reach the saved one
    (second,) = torch.autograd.grad(loss, logits)
    torch.testing.assert_close(second.double() * 7, first.double(), rtol=1e-6, atol=0)
    assert_gradient_near(case, second, expected(case, grad_out=scale).grad, grad_out=scale)


def test_leaf_gradient_accumulates_over_retained_backwards(device):
    case = make_case(6, 10, device=device)
    logits = case.logits.requires_grad_()
    loss = ffdwv_loss(logits, case.labels, case.similarity)
    loss.backward(retain_graph=True)
    once = logits.grad.clone()
    loss.backward()
    assert torch.equal(logits.grad, 2 * once)


def test_bfloat16_label_entry_where_the_net_is_sure(device):
    # Liger-Kernel#1329: p_y - 1 by read-modify-write in bf16 was 100 % wrong at p_y = 0.999.
    for gap in (5.0, 7.0, 9.0):
        logits = torch.zeros(1, 3, dtype=torch.bfloat16)
        logits[0, 1] = gap
        case = Case(logits.to(device), torch.tensor([1], device=device), None)
        want = expected(case).grad
        assert want[0, 1].abs() < 0.02
        assert_near(gradient_of(case, ffdwv_loss)[1], want, 2**-8, 0)


def test_float32_label_entry_where_the_net_is_sure(device):
    logits = torch.tensor([[0.0, 12.0, 0.5]], device=device)
    case = Case(logits, torch.tensor([1], device=device), None)
    # The entry is p_y - 1 = 2^-16: summed in float32, as on a GPU, s = 1 + 2^-16 has lost 2^-24.
    absolute = 0 if device == "cpu" else 2**-23
    assert_near(gradient_of(case, ffdwv_loss)[1], expected(case).grad, 1e-6, absolute)


def test_odd_widths_from_513_to_1023(device):
    # pytorch#147284.
    for c in range(513, 1024):
        case = make_case(2, c, similarity_layout="expanded", device=device)
        assert_loss_matches(case, ffdwv_loss, what=f"C = {c}")


def test_row_offsets_beyond_two_to_the_31st(device):
    # pytorch#85005, #111484: int32 offsets. A CPU never touches the pages between the two rows.
    if device != "cpu":
        skip_below(device, 6)
    case = make_case(2, 100, torch.bfloat16, device=device)
    stride = 2**31 + 11
    far = torch.empty(stride + 100, dtype=torch.bfloat16, device=device)
    far = far.as_strided((2, 100), (stride, 1))
    far.copy_(case.logits)
    assert_loss_matches(case._replace(logits=far), ffdwv_loss)


def test_more_than_two_to_the_31st_logits(device):
    skip_below(device, 8)
    n, c = 2**21 + 1, 1024
    assert n * c > 2**31
    case = make_case(1, c, torch.bfloat16, device=device)
    labels = torch.full((n,), -100, dtype=torch.int32, device=device)
    labels[-1] = case.labels[0]
    many = case._replace(logits=case.logits.expand(n, c), labels=labels)
    parts, grad = gradient_of(many, ffdwv_loss)
    want = expected(case)
    assert_near(parts.loss, want.loss, loss_tolerance(case), 0)
    assert_gradient_near(case, grad[-1:], want.grad)
    assert not grad[: 2**21].any()


def test_strided_expanded_and_misaligned_inputs(device):
    # TransformerEngine#2734, unsloth#10713.
    for layout in ("transposed", "strided", "sliced", "misaligned", "expanded"):
        case = make_case(9, 33, layout=layout, device=device)
        assert_loss_matches(case, ffdwv_loss, what=layout)


@pytest.mark.cpu_only("elsewhere asking would mean waiting; see tests/cuda/test_bad_labels.py")
@pytest.mark.parametrize("bad", [10, -1, 2**40, -(2**40)])
def test_label_out_of_range_raises_and_the_process_lives(bad):
    # pytorch#18014.
    case = make_case(4, 10)
    labels = case.labels.clone()
    labels[2] = bad
    with pytest.raises(InputError, match=rf"^labels\[2\] = {bad} is outside \[0, 10\)[^\n]*$"):
        ffdwv_loss(case.logits, labels, case.similarity)
    assert_loss_matches(case, ffdwv_loss)


def test_ignored_rows_left_unwritten(device):
    # Liger-Kernel#1338: freed memory full of NaN showed through.
    case = make_case(512, 100, device=device)
    labels = torch.where(torch.arange(512, device=device) % 2 == 0, case.labels, -100)
    for _ in range(3):
        del_me = torch.full((512, 100), torch.nan, device=device)
        del del_me
        logits = case.logits.detach().requires_grad_()
        parts = ffdwv_loss(logits, labels, case.similarity, reduction="none", return_parts=True)
        parts.loss.sum().backward()
        assert torch.equal(logits.grad[1::2], torch.zeros(256, 100, device=device))
        assert all(torch.equal(part[1::2], torch.zeros_like(part[1::2])) for part in parts)
        assert (logits.grad[::2] != 0).any(dim=1).all()
