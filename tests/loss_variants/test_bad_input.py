"""What bad input gets: one line that names the value, what is allowed and what to do."""

import pytest
import torch

from ffdwv_fast import (
    InputError,
    distillation_loss,
    label_smoothing_loss,
    loss_and_grad,
    soft_target_loss,
)
from ffdwv_fast.loss import op
from tests.loss.cases import make_case, op_arguments

X = torch.randn(4, 3)
Y = torch.tensor([0, 1, 2, 0])
T = torch.softmax(torch.randn(4, 3), 1)
S = torch.softmax(torch.randn(3, 3), 1)


def checked(targets):
    return soft_target_loss(X, Y, targets, check_soft_targets=True)


def at(value, i=1, j=2):
    changed = T.clone()
    changed[i, j] = value
    return changed


NOT_POSITIVE = "must be a finite number above 0"
BAD = {
    "targets: none": (lambda: soft_target_loss(X, Y, None), "soft_targets is None; pass"),
    "targets: list": (lambda: soft_target_loss(X, Y, [[1.0]]), "soft_targets is a list; pass"),
    "targets: shape": (
        lambda: soft_target_loss(X, Y, T[:3]),
        r"soft_targets has shape \(3, 3\); it must be \[N, C\] = \[4, 3\]",
    ),
    "targets: dtype": (
        lambda: soft_target_loss(X, Y, T.half()),
        "soft_targets has dtype torch.float16; use float32 or that of the logits",
    ),
    "targets: grad": (
        lambda: soft_target_loss(X, Y, T.clone().requires_grad_()),
        r"no gradient flows to it; pass soft_targets.detach\(\)",
    ),
    "targets: negative": (lambda: checked(at(-0.1)), r"soft_targets\[1, 2\] = -0.1.*0 or more"),
    "targets: NaN": (lambda: checked(at(torch.nan)), r"soft_targets\[1, 2\] = nan"),
    "targets: sum": (lambda: checked(T * 2), "row 0 of soft_targets sums to 2; .* softmax"),
    "targets: shape, checked": (lambda: checked(T[:3]), "soft_targets has shape"),
    "teacher: none": (lambda: distillation_loss(X, Y, None), "teacher_logits is None; pass"),
    "teacher: shape": (
        lambda: distillation_loss(X, Y, X[:, :2]),
        r"teacher_logits has shape \(4, 2\); it must be \[N, C\] = \[4, 3\]",
    ),
    "teacher: dtype": (
        lambda: distillation_loss(X, Y, X.double()),
        "teacher_logits has dtype torch.float64; use float32",
    ),
    "teacher: device": (
        lambda: distillation_loss(X, Y, X.to("meta")),
        r"teacher_logits is on meta, the logits on cpu; use teacher_logits.to\('cpu'\)",
    ),
    "temperature: 0": (lambda: distillation_loss(X, Y, X, temperature=0), NOT_POSITIVE),
    "temperature: negative": (lambda: distillation_loss(X, Y, X, temperature=-1.0), NOT_POSITIVE),
    "temperature: NaN": (lambda: distillation_loss(X, Y, X, temperature=torch.nan), NOT_POSITIVE),
    "temperature: inf": (lambda: distillation_loss(X, Y, X, temperature=torch.inf), NOT_POSITIVE),
    "temperature: word": (lambda: distillation_loss(X, Y, X, temperature="4"), "'4'; it must be"),
    "smoothing: negative": (
        lambda: label_smoothing_loss(X, Y, -0.1),
        "smoothing is -0.1; it must be a number from 0 to 1",
    ),
    "smoothing: above 1": (lambda: label_smoothing_loss(X, Y, 1.1), "smoothing is 1.1"),
    "smoothing: word": (lambda: label_smoothing_loss(X, Y, "0.1"), "smoothing is '0.1'"),
    "smoothing: logits": (lambda: label_smoothing_loss(X[0], Y), r"logits have shape \(3,\)"),
    "smoothing: labels": (lambda: label_smoothing_loss(X, Y + 1), r"labels\[2\] = 3 is outside"),
    "kinds: two": (
        lambda: loss_and_grad(X, Y, S, teacher_logits=X),
        "similarity and teacher_logits are given; pass one of them",
    ),
    "scale: 0": (lambda: loss_and_grad(X, Y, S, loss_scale=0.0), "loss_scale is 0.0; it must be"),
    "scale: NaN": (lambda: loss_and_grad(X, Y, S, loss_scale=torch.nan), "loss_scale is nan"),
    "scale: word": (lambda: loss_and_grad(X, Y, S, loss_scale="2"), "loss_scale is '2'"),
    "scale: shape": (
        lambda: loss_and_grad(X, Y, S, loss_scale=torch.ones(4)),
        r"loss_scale has shape \(4,\) .* one floating number",
    ),
    "scale: device": (
        lambda: loss_and_grad(X, Y, S, loss_scale=torch.ones((), device="meta")),
        "loss_scale is on meta, the logits on cpu",
    ),
    "grad: reduction": (lambda: loss_and_grad(X, Y, S, reduction="max"), "reduction is 'max'"),
    "grad: labels": (lambda: loss_and_grad(X, Y + 1, S), r"labels\[2\] = 3 is outside \[0, 3\)"),
    "grad: temperature": (
        lambda: loss_and_grad(X, Y, teacher_logits=X, temperature=0.0),
        NOT_POSITIVE,
    ),
    "grad: matrix": (lambda: loss_and_grad(X, Y, 2 * S), "row 0 of similarity sums to 2"),
    "grad: logits": (lambda: loss_and_grad([[1.0]], Y), "logits are a list; pass"),
}


@pytest.mark.parametrize(("call", "message"), BAD.values(), ids=BAD)
def test_one_line_that_explains(call, message):
    with pytest.raises(InputError, match=message) as raised:
        call()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("call", "message"), BAD.values(), ids=BAD)
def test_the_fallback_explains_the_same(call, message, monkeypatch):
    monkeypatch.setattr(op, "NATIVE_DEVICES", frozenset())
    monkeypatch.setattr(op, "_warned", {"cpu"})
    with pytest.raises(InputError, match=message):
        call()


OP_REFUSES = {
    "soft_kind 4": (dict(soft_kind=4), "soft_kind must be"),
    "soft_kind -1": (dict(soft_kind=-1), "soft_kind must be"),
    "soft without a kind": (dict(soft_kind=0), "soft and soft_kind disagree"),
    "a kind without soft": (dict(soft=None), "soft and soft_kind disagree"),
    "a matrix for samples": (dict(soft_kind=2), r"soft must be \[N, C\]"),
    "a matrix for a teacher": (dict(soft_kind=3), r"soft must be \[N, C\]"),
    "samples for a matrix": (dict(soft=X), r"soft must be \[C, C\]"),
    "entropies of a teacher": (
        dict(soft_kind=3, soft=X, neg_entropy=torch.zeros(3, dtype=torch.float64)),
        "neg_entropy needs a class matrix",
    ),
    "temperature": (dict(soft_kind=3, soft=X, temperature=0.0), "temperature must be"),
    "grad_scale": (dict(grad_scale=float("inf")), "grad_scale must be finite"),
}


@pytest.mark.parametrize(("change", "message"), OP_REFUSES.values(), ids=OP_REFUSES)
def test_the_op_itself_refuses_what_a_kernel_could_not_run(change, message):
    arguments = op_arguments(make_case(4, 3), **change)
    with pytest.raises(ValueError, match=message):
        torch.ops.ffdwv_fast.ffdwv_loss(*arguments)


def test_values_are_read_on_request_only():
    assert soft_target_loss(X, Y, 2 * T).isfinite()


def test_a_temperature_that_nothing_uses_is_not_looked_at():
    assert loss_and_grad(X, Y, S, temperature=0.0)[0].loss.isfinite()
