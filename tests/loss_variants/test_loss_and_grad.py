"""loss_and_grad: the same numbers as autograd gives, a loss scale folded in, nothing kept."""

import pytest
import torch

from ffdwv_fast import LossParts, ffdwv_loss, loss_and_grad
from ffdwv_fast.loss import op
from tests.loss.cases import assert_identical, make_case
from tests.loss_variants.cases import WITH_TENSOR, autograd_of, call_loss_and_grad, make_variant

DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("c", [10, 100])
def test_a_class_matrix_gives_the_bits_of_autograd(dtype, reduction, c, device):
    case = make_case(50, c, dtype, device=device)
    logits = case.logits.clone().requires_grad_()
    options = dict(soft_weight=0.7, ce_weight=0.3, reduction=reduction, ignore_index=3)
    want = ffdwv_loss(logits, case.labels, case.similarity, return_parts=True, **options)
    want.loss.sum().backward()
    parts, grad = loss_and_grad(logits, case.labels, case.similarity, **options)
    assert_identical(tuple(parts), tuple(part.detach() for part in want))
    assert_identical(grad, logits.grad)
    assert not any(part.requires_grad for part in (*parts, grad))


@pytest.mark.parametrize("kind", WITH_TENSOR)
@pytest.mark.parametrize("c", [10, 100])
def test_every_kind_gives_the_bits_of_autograd(kind, c, device):
    v = make_variant(kind, 50, c, device=device)
    parts, grad = call_loss_and_grad(v, soft_weight=0.7)
    want, want_grad = autograd_of(v, soft_weight=0.7)
    assert_identical((*parts, grad), (*want, want_grad))


def test_hard_labels_alone(device):
    case = make_case(20, 10, device=device)
    parts, grad = loss_and_grad(case.logits, case.labels)
    logits = case.logits.clone().requires_grad_()
    want = torch.nn.functional.cross_entropy(logits, case.labels)
    want.backward()
    torch.testing.assert_close(parts.loss, want.detach(), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(grad, logits.grad, rtol=1e-5, atol=1e-8)
    assert parts.kl == 0


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_a_scale_of_a_power_of_two_scales_the_gradient_alone(dtype, reduction, device):
    case = make_case(20, 37, dtype, device=device)
    options = dict(reduction=reduction)
    parts, grad = loss_and_grad(*case, **options)
    scales = [256.0, 256, torch.tensor(256.0, device=device), torch.tensor([256.0], device=device)]
    for scale in scales:
        same, scaled = loss_and_grad(*case, loss_scale=scale, **options)
        assert_identical(tuple(same), tuple(parts))
        # Below its normal numbers float16 has lost digits, which the scaled gradient still has.
        kept = grad.abs() >= torch.finfo(dtype).smallest_normal
        assert_identical(scaled[kept] / 256, grad[kept])


def test_a_scale_saves_what_float16_would_lose(device):
    logits = torch.zeros(4096, 2, dtype=torch.float16, device=device)
    logits[:, 0] = 10.0
    labels = torch.zeros(4096, dtype=torch.int64, device=device)
    assert not loss_and_grad(logits, labels)[1][:, 1].any()
    _, grad = loss_and_grad(logits, labels, loss_scale=65536.0)
    wanted = torch.softmax(torch.tensor([10.0, 0.0], dtype=torch.float64), 0)[1] / 4096 * 65536
    torch.testing.assert_close(grad[:, 1].double().cpu(), wanted.expand(4096), rtol=2**-11, atol=0)


def test_the_gradient_goes_on_through_the_network(device):
    case = make_case(16, 10, device=device)
    one, other = (torch.nn.Linear(10, 10, device=device) for _ in range(2))
    other.load_state_dict(one.state_dict())
    logits = one(case.logits)
    _, grad = loss_and_grad(logits, case.labels, case.similarity)
    logits.backward(grad)
    ffdwv_loss(other(case.logits), case.labels, case.similarity).backward()
    assert_identical(one.weight.grad, other.weight.grad)


@pytest.mark.parametrize("kind", WITH_TENSOR)
def test_the_reference_gives_the_same(kind, monkeypatch, device):
    v = make_variant(kind, 20, 12, torch.float64, device=device)
    scale = torch.tensor(3.0, device=device)
    parts, grad = call_loss_and_grad(v, loss_scale=scale)
    monkeypatch.setattr(op, "NATIVE_DEVICES", frozenset())
    monkeypatch.setattr(op, "_warned", {device})
    want, want_grad = call_loss_and_grad(v, loss_scale=scale)
    torch.testing.assert_close([*parts, grad], [*want, want_grad], rtol=1e-12, atol=1e-12)


def test_parts_read_like_a_tuple(device):
    case = make_case(20, 10, device=device)
    parts, _ = loss_and_grad(*case)
    assert "_parts" in vars(parts)
    assert "ce" not in vars(parts)  # not before someone looks
    loss, ce, kl, correct = parts
    assert [loss, ce, kl, correct] == [parts.loss, parts.ce, parts.kl, parts.correct]
    assert len(parts) == 4
    assert parts[3].dtype == torch.int64
    assert repr(LossParts(1, 2, 3, 4)) == "LossParts(loss=1, ce=2, kl=3, correct=4)"
    with pytest.raises(AttributeError, match="loss, ce, kl, correct"):
        parts.accuracy  # noqa: B018
