"""A label out of range makes its own row NaN; the process and all other rows live.

Raising, as on the CPU, would mean waiting for the labels; an assert in a kernel kills the process.
"""

import pytest
import torch

from ffdwv_fast import ffdwv_loss, loss_and_grad
from ffdwv_fast.loss.arguments import LossArguments, uniform_matrix
from ffdwv_fast.loss.reference import reference_loss
from ffdwv_fast.loss.run import loss_and_parts
from tests.cuda.device import synchronize
from tests.loss.cases import (
    Case,
    assert_identical,
    assert_loss_matches,
    gradient_of,
    make_case,
)
from tests.loss.test_values import SUMS, reference
from tests.loss_variants.cases import KINDS, Variant, make_variant

BAD_ROW = 2


@pytest.fixture(params=[ffdwv_loss, reference], ids=["native", "reference"])
def loss(request, device):
    """An implementation that does not look at the labels."""
    if request.param is ffdwv_loss and device == "cpu":
        pytest.skip("the CPU's op refuses a bad label: tests/loss/test_known_bugs.py")
    return request.param


def with_label(case: Case | LossArguments, label: int) -> Case | LossArguments:
    labels = case.labels.clone()
    labels[BAD_ROW] = label
    return case._replace(labels=labels)


@pytest.mark.parametrize("c", [10, 100, 300, 1000, 3000, 9000])  # a width of each kernel
@pytest.mark.parametrize("bad", ["C", -1, 2**31, 2**40, -(2**40)])
def test_the_row_is_nan_and_no_other_is_touched(loss, bad, c, device):
    case = make_case(5, c, similarity_layout="expanded", device=device)
    parts, grad = gradient_of(with_label(case, c if bad == "C" else bad), loss, reduction="none")
    want, want_grad = gradient_of(case, loss, reduction="none")
    assert grad[BAD_ROW].isnan().all()
    assert all(part[BAD_ROW].isnan() for part in parts[:3])
    assert parts.correct[BAD_ROW] == 0
    others = torch.tensor([0, 1, 3, 4], device=device)
    assert_identical(grad[others], want_grad[others])
    assert_identical([part[others] for part in parts], [part[others] for part in want])


@pytest.mark.parametrize("bad", [10, -1, 2**31 - 1, -(2**31)])
def test_a_label_of_32_bits_too(loss, bad, device):
    case = make_case(5, 10, label_dtype=torch.int32, device=device)
    parts, grad = gradient_of(with_label(case, bad), loss, reduction="none")
    rows = torch.arange(5, device=device) == BAD_ROW
    assert torch.equal(parts.loss.isnan(), rows)
    assert grad[BAD_ROW].isnan().all()
    assert grad[~rows].isfinite().all()


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("n", [5, 5000])
def test_the_total_is_nan_and_the_other_gradients_stay(loss, n, reduction, device):
    case = make_case(n, 10, device=device)
    parts, grad = gradient_of(with_label(case, 2**40), loss, reduction=reduction)
    want, want_grad = gradient_of(case, loss, reduction=reduction)
    assert all(part.isnan() for part in parts[:3])
    others = torch.arange(n, device=device) != BAD_ROW
    assert grad[BAD_ROW].isnan().all()
    assert_identical(grad[others], want_grad[others])  # the bad row counts in the divisor
    hit = gradient_of(case, loss, reduction="none")[0].correct[BAD_ROW]
    assert parts.correct == want.correct - hit


def of_kind(v: Variant) -> LossArguments:
    """What the public function of the kind makes of its arguments; weights that are not 1."""
    soft = uniform_matrix(v.logits) if v.kind == "smoothing" else v.soft
    return LossArguments(v.logits, v.labels, soft, 0.9, 0.1, "none", -100, v.kind, v.temperature)


@pytest.mark.parametrize("weights", [(0.9, 0.1), (0.0, 1.0), (1.0, 0.0), (0.0, 0.0)])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("c", [10, 100, 300, 3000, 9000])
def test_the_row_is_nan_whatever_the_soft_targets(loss, c, kind, weights, device):
    implementation = loss_and_parts if loss is ffdwv_loss else reference_loss
    good = of_kind(make_variant(kind, 5, c, device=device))
    good = good._replace(ce_weight=weights[0], soft_weight=weights[1])
    bad = good._replace(labels=with_label(good, 2**40).labels)
    others = torch.arange(5, device=device) != BAD_ROW
    results = []
    for arguments in (good, bad):
        logits = arguments.logits.detach().requires_grad_()
        value, parts = implementation(arguments._replace(logits=logits))
        (grad,) = torch.autograd.grad(value.sum(), logits)
        results.append((value.detach(), *parts, grad))
    for want, got in zip(*results, strict=True):
        assert_identical(got[others], want[others])
    value, ce, kl, correct, grad = (of_all[BAD_ROW] for of_all in results[1])
    assert value.isnan()
    assert ce.isnan()
    assert kl.isnan()
    assert correct == 0
    assert grad.isnan().all()


@pytest.mark.gpu_only("the CPU's op refuses a bad label: tests/loss_variants/test_bad_input.py")
@pytest.mark.parametrize("scale", [1.0, 256.0])
def test_loss_and_grad_marks_the_row(scale, device):
    case = make_case(5, 100, device=device)
    parts, grad = loss_and_grad(*with_label(case, -1), loss_scale=scale)
    want = loss_and_grad(*case, loss_scale=scale)[1]
    rows = torch.arange(5, device=device) == BAD_ROW
    assert parts.loss.isnan()
    assert grad[rows].isnan().all()
    assert_identical(grad[~rows], want[~rows])


def test_an_ignored_label_out_of_range_is_not_bad(loss, device):
    case = with_label(make_case(5, 10, device=device), 2**40)
    assert_loss_matches(case, loss, ignore_index=2**40, sums=SUMS[loss])


def test_the_process_lives_on(loss, device):
    case = make_case(300, 10, device=device)
    for bad in (10, -1, 2**40, -(2**40)):
        gradient_of(with_label(case, bad), loss)
        synchronize(device)
        assert_loss_matches(case, loss, sums=SUMS[loss])
