"""A label out of range makes its own row NaN; the process and all other rows live.

Raising, as on the CPU, would mean waiting for the labels; an assert in a kernel kills the process.
"""

import pytest
import torch

from ffdwv_fast import ffdwv_loss
from tests.cuda.device import synchronize
from tests.loss.cases import (
    Case,
    assert_identical,
    assert_loss_matches,
    gradient_of,
    make_case,
)
from tests.loss.test_values import SUMS, reference

BAD_ROW = 2


@pytest.fixture(params=[ffdwv_loss, reference], ids=["native", "reference"])
def loss(request, device):
    """An implementation that does not look at the labels."""
    if request.param is ffdwv_loss and device == "cpu":
        pytest.skip("the CPU's op refuses a bad label: tests/loss/test_known_bugs.py")
    return request.param


def assert_gradient_is_marked(loss, grad: torch.Tensor) -> None:
    if loss is ffdwv_loss:  # the reference fills its NaN in where autograd does not see it
        assert grad[BAD_ROW].isnan().all()


def with_label(case: Case, label: int) -> Case:
    labels = case.labels.clone()
    labels[BAD_ROW] = label
    return case._replace(labels=labels)


@pytest.mark.parametrize("c", [10, 100, 300, 1000, 3000, 9000])  # a width of each kernel
@pytest.mark.parametrize("bad", ["C", -1, 2**31, 2**40, -(2**40)])
def test_the_row_is_nan_and_no_other_is_touched(loss, bad, c, device):
    case = make_case(5, c, similarity_layout="expanded", device=device)
    parts, grad = gradient_of(with_label(case, c if bad == "C" else bad), loss, reduction="none")
    want, want_grad = gradient_of(case, loss, reduction="none")
    assert_gradient_is_marked(loss, grad)
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
    assert_gradient_is_marked(loss, grad)
    assert grad[~rows].isfinite().all()


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("n", [5, 5000])
def test_the_total_is_nan_and_the_other_gradients_stay(loss, n, reduction, device):
    case = make_case(n, 10, device=device)
    parts, grad = gradient_of(with_label(case, 2**40), loss, reduction=reduction)
    want, want_grad = gradient_of(case, loss, reduction=reduction)
    assert all(part.isnan() for part in parts[:3])
    others = torch.arange(n, device=device) != BAD_ROW
    assert_gradient_is_marked(loss, grad)
    assert_identical(grad[others], want_grad[others])  # the bad row counts in the divisor
    hit = gradient_of(case, loss, reduction="none")[0].correct[BAD_ROW]
    assert parts.correct == want.correct - hit


def test_an_ignored_label_out_of_range_is_not_bad(loss, device):
    case = with_label(make_case(5, 10, device=device), 2**40)
    assert_loss_matches(case, loss, ignore_index=2**40, sums=SUMS[loss])


def test_the_process_lives_on(loss, device):
    case = make_case(300, 10, device=device)
    for bad in (10, -1, 2**40, -(2**40)):
        gradient_of(with_label(case, bad), loss)
        synchronize(device)
        assert_loss_matches(case, loss, sums=SUMS[loss])
