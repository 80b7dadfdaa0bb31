"""Where naive formulas fail: temperatures, offsets, sure nets, ruled-out classes, many classes."""

import pytest
import torch

from ffdwv_fast import distillation_loss, soft_target_loss
from tests.loss.cases import assert_identical, assert_near
from tests.loss_variants.cases import (
    KINDS,
    WITH_TENSOR,
    assert_variant_matches,
    autograd_of,
    expected,
    make_variant,
)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 4.0, 20.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("c", [10, 100, 1000])
def test_temperatures(temperature, dtype, c, device):
    v = make_variant("teacher_logits", 20, c, dtype, temperature=temperature, device=device)
    assert_variant_matches(v, *autograd_of(v))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("c", [10, 100])
@pytest.mark.parametrize(
    ("dtype", "offset"), [(torch.float32, 1e4), (torch.float64, 1e7)], ids=["f32", "f64"]
)
def test_a_common_offset_costs_nothing(kind, c, dtype, offset, device):
    v = make_variant(kind, 20, c, dtype, soft_dtype=dtype, device=device)
    # Multiples of 1/64 keep every digit beside the offset.
    coarse = v._replace(logits=(v.logits * 64).round() / 64)
    if kind == "teacher_logits":
        coarse = coarse._replace(soft=(v.soft * 64).round() / 64)
    moved = coarse._replace(logits=coarse.logits + offset)
    if kind == "teacher_logits":
        moved = moved._replace(soft=coarse.soft - offset)
    for one, other in zip(
        (*autograd_of(coarse)[0], autograd_of(coarse)[1]),
        (*autograd_of(moved)[0], autograd_of(moved)[1]),
        strict=True,
    ):
        assert_identical(one, other)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("c", [10, 100])
def test_a_sure_net_keeps_the_digits_of_its_gradient(kind, c, device):
    v = make_variant(kind, 1, c, device=device)
    logits = torch.full((1, c), -9.5, device=device)
    logits[0, int(v.labels[0])] = 4.0
    v = v._replace(logits=logits)
    options = {} if kind == "smoothing" else dict(soft_weight=0.0)
    v = v._replace(smoothing=0.0)
    _, grad = autograd_of(v, **options)
    # The sum of a row, 1 + 1e-4, loses 2^-24 at each step where it is kept in float32, as on a GPU.
    absolute = 0 if device == "cpu" else 2**-21
    assert_near(grad, expected(v, **options).grad, 1e-6, absolute)


@pytest.mark.parametrize("c", [10, 100])
def test_classes_ruled_out_by_the_teacher_contribute_nothing(c, device):
    v = make_variant("teacher_logits", 8, c, torch.float64, soft_dtype=torch.float64, device=device)
    # Where the student rules them out as well, and where it does not; never the label.
    ruled_out = torch.zeros_like(v.soft, dtype=torch.bool)
    ruled_out[:, ::3] = True
    ruled_out.scatter_(1, v.labels[:, None], False)
    soft = v.soft.masked_fill(ruled_out, -torch.inf)
    logits = v.logits.clone()
    logits[:4] = logits[:4].masked_fill(ruled_out[:4], -torch.inf)
    v = v._replace(soft=soft, logits=logits)
    assert_variant_matches(v, *autograd_of(v))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("c", [10, 100])
def test_a_class_that_the_net_alone_rules_out_costs_infinitely_much(kind, c, device):
    v = make_variant(kind, 4, c, device=device)
    logits, other = v.logits.clone(), (int(v.labels[0]) + 1) % c
    logits[0, other] = -torch.inf
    soft = v.soft
    if kind == "soft_targets":
        soft = soft.clone()
        soft[0, other] = 0.5
    parts, grad = autograd_of(v._replace(logits=logits, soft=soft), reduction="none")
    assert parts.loss.isinf().tolist() == [True, False, False, False]
    assert parts.ce.isfinite().all()
    assert grad.isfinite().all()


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
@pytest.mark.parametrize("where", ["logits", "teacher"])
@pytest.mark.parametrize("c", [10, 100])
def test_no_number_stays_in_its_row(bad, where, c, device):
    v = make_variant("teacher_logits", 20, c, device=device)
    spoilt = (v.logits if where == "logits" else v.soft).clone()
    spoilt[3, 2] = bad
    v = v._replace(**{"logits" if where == "logits" else "soft": spoilt})
    parts, grad = autograd_of(v, reduction="none")
    rows = torch.arange(20, device=device) == 3
    assert torch.equal(parts.loss.isnan(), rows)
    assert torch.equal(grad.isnan().all(1), rows)
    assert torch.equal(grad.isnan().any(1), rows)
    if where == "logits":
        assert parts.correct[3] == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_two_hundred_thousand_classes(kind, dtype, device):
    v = make_variant(kind, 3, 200_000, dtype, device=device)
    assert_variant_matches(v, *autograd_of(v))


@pytest.mark.parametrize("c", [10, 100])
def test_the_first_of_equal_logits_is_the_prediction(c, device):
    logits = torch.zeros(3, c, device=device)
    logits[:, [4, 7]] = 2.0
    labels = torch.tensor([4, 7, 0], device=device)
    for loss in (distillation_loss, soft_target_loss):
        soft = torch.softmax(logits, 1)
        parts = loss(logits, labels, soft, reduction="none", return_parts=True)
        assert parts.correct.tolist() == [1, 0, 0]


@pytest.mark.parametrize("kind", WITH_TENSOR)
def test_a_part_of_weight_zero_takes_no_part(kind, device):
    v = make_variant(kind, 4, 100, device=device)
    logits = v.logits.clone()
    logits[0, 0] = -torch.inf
    soft = v.soft.clone()
    soft[0, 0] = 0.5
    labels = v.labels.clone()
    labels[0] = 1
    v = v._replace(logits=logits, soft=soft, labels=labels)
    parts, _ = autograd_of(v, soft_weight=0.0)
    assert parts.loss.isfinite()
    assert parts.kl.isinf()
