"""Values of the other losses against PyTorch's own functions in float64."""

import math

import pytest
import torch
from torch.nn import functional as F

from ffdwv_fast import distillation_loss, ffdwv_loss, label_smoothing_loss, soft_target_loss
from ffdwv_fast.loss import op
from tests.loss.cases import LAYOUTS, assert_identical
from tests.loss_variants.cases import (
    KINDS,
    WITH_TENSOR,
    assert_variant_matches,
    autograd_of,
    call,
    make_variant,
)

DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


def test_hand_worked_teacher(device):
    # x = 2 (0, ln 3), z = 2 (ln 3, 0), T = 2: p' = (1/4, 3/4), q = (3/4, 1/4), KL = ln(3) / 2;
    # p = (1/10, 9/10), y = 0.
    x = torch.tensor([[0.0, 2 * math.log(3)]], dtype=torch.float64, device=device)
    z = torch.tensor([[2 * math.log(3), 0.0]], dtype=torch.float64, device=device)
    x.requires_grad_()
    parts = distillation_loss(
        x, torch.tensor([0], device=device), z, temperature=2.0, return_parts=True
    )
    parts.loss.backward()
    assert parts.ce.item() == pytest.approx(math.log(10), abs=1e-14)
    assert parts.kl.item() == pytest.approx(4 * math.log(3) / 2, abs=1e-14)
    assert x.grad[0].tolist() == pytest.approx([0.1 - 1 - 2 * 0.5, 0.9 + 2 * 0.5], abs=1e-14)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_width_to_70_and_beyond(kind, dtype, device):
    for c in [*range(1, 71), 100, 127, 128, 129, 513, 1000, 1023]:
        v = make_variant(kind, 5, c, dtype, device=device)
        assert_variant_matches(v, *autograd_of(v), f"C = {c}")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("c", [10, 37])
def test_every_layout(kind, layout, c, device):
    for soft_dtype in (torch.float32, torch.float16):
        v = make_variant(
            kind, 20, c, torch.float16, layout=layout, soft_dtype=soft_dtype, device=device
        )
        assert_variant_matches(v, *autograd_of(v), f"{soft_dtype}")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("c", [10, 37])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_reductions_weights_and_ignored_rows(kind, c, reduction, device):
    v = make_variant(kind, 50, c, device=device)
    labels = v.labels.clone()
    labels[::3] = 7
    v = v._replace(labels=labels)
    options = dict(reduction=reduction, ignore_index=7)
    if kind != "smoothing":
        options |= dict(soft_weight=0.7, ce_weight=0.3)
    assert_variant_matches(v, *autograd_of(v, **options), **options)


@pytest.mark.parametrize("kind", KINDS)
def test_every_row_ignored(kind, device):
    v = make_variant(kind, 4, 10, device=device)
    v = v._replace(labels=torch.full_like(v.labels, -100))
    parts, grad = autograd_of(v)
    assert math.isnan(parts.loss.item())
    assert not grad.any()


@pytest.mark.parametrize("c", [10, 100])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_label_smoothing_is_that_of_cross_entropy(c, smoothing, reduction, device):
    v = make_variant("smoothing", 16, c, torch.float64, device=device)
    got = label_smoothing_loss(v.logits, v.labels, smoothing, reduction=reduction)
    want = F.cross_entropy(v.logits, v.labels, label_smoothing=smoothing, reduction=reduction)
    torch.testing.assert_close(got, want, rtol=1e-13, atol=1e-13)


def test_targets_picked_by_label_are_the_class_matrix(device):
    similarity = torch.softmax(torch.randn(37, 37, device=device), 1)
    v = make_variant("soft_targets", 20, 37, device=device)
    got = soft_target_loss(v.logits, v.labels, similarity[v.labels], 0.5)
    torch.testing.assert_close(
        got, ffdwv_loss(v.logits, v.labels, similarity, 0.5), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("c", [10, 100])
def test_gradcheck(kind, c, device):
    v = make_variant(kind, 3, c, torch.float64, soft_dtype=torch.float64, device=device)

    def loss(logits):
        return autograd_function(v, logits).sum()

    assert torch.autograd.gradcheck(loss, v.logits.requires_grad_(), atol=1e-7, rtol=1e-6)


def autograd_function(v, logits):
    if v.kind == "soft_targets":
        return soft_target_loss(logits, v.labels, v.soft, 0.7, reduction="none")
    if v.kind == "teacher_logits":
        return distillation_loss(logits, v.labels, v.soft, temperature=2.5, reduction="none")
    return label_smoothing_loss(logits, v.labels, 0.2, reduction="none")


@pytest.mark.parametrize("kind", KINDS)
def test_the_reference_is_the_same_loss(kind, monkeypatch, device):
    monkeypatch.setattr(op, "NATIVE_DEVICES", frozenset())
    monkeypatch.setattr(op, "_warned", {device})
    v = make_variant(kind, 8, 12, torch.float64, soft_dtype=torch.float64, device=device)
    v = v._replace(labels=v.labels.index_fill(0, torch.tensor([1], device=device), -100))
    assert_variant_matches(v, *autograd_of(v))


@pytest.mark.parametrize("kind", KINDS)
def test_inference_mode_and_no_rows(kind, device):
    with torch.inference_mode():
        v = make_variant(kind, 6, 10, device=device)
        first = call(v, v.logits)
    v = make_variant(kind, 6, 10, device=device)
    assert_identical(call(v, v.logits), first)
    empty = v._replace(
        logits=v.logits[:0], labels=v.labels[:0], soft=None if v.soft is None else v.soft[:0]
    )
    assert call(empty, empty.logits, reduction="sum").item() == 0


@pytest.mark.parametrize("kind", WITH_TENSOR)
def test_inputs_are_not_written_to(kind, device):
    v = make_variant(kind, 6, 37, device=device)
    before = v.logits.clone(), v.labels.clone(), v.soft.clone()
    autograd_of(v)
    assert_identical((v.logits, v.labels, v.soft), before)
