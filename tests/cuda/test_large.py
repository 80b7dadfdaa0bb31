"""More logits than 32 bits can count, lying one behind the other."""

import pytest
import torch

from ffdwv_fast import ffdwv_loss
from tests.loss.cases import (
    Case,
    assert_gradient_near,
    assert_near,
    expected,
    gradient_of,
    loss_tolerance,
    make_case,
    skip_below,
)

C = 1024
PERIOD = 1021  # prime: an offset that has lost its upper bits lands on another row of the period


@pytest.fixture
def repeated(request, device):
    """A case, how often it is repeated, and so repeated: more than 2^`request.param` logits."""
    power = request.param
    if device == "cpu":
        power = 21  # the same code; tests/loss/test_known_bugs.py has a CPU's large case
    else:
        skip_below(device, 2.0 ** (power - 27))  # logits, gradient and as much again
    case = make_case(PERIOD, C, torch.bfloat16, device=device)
    case.labels[::10] = -100
    times = 2**power // (PERIOD * C) + 1
    many = Case(case.logits.repeat(times, 1), case.labels.repeat(times), case.similarity)
    assert many.logits.is_contiguous()
    assert many.logits.numel() > 2**power
    yield case, times, many
    del many
    if device != "cpu":
        torch.cuda.empty_cache()


POWERS = pytest.mark.parametrize("repeated", [31, 32], indirect=True, ids=["2^31", "2^32"])


@POWERS
def test_every_repetition_has_the_gradient_of_the_first(repeated):
    case, times, many = repeated
    parts, grad = gradient_of(many, ffdwv_loss, reduction="sum")
    want = expected(case, reduction="sum")
    assert_near(parts.loss, want.loss * times, loss_tolerance(case), 0, "loss")
    assert parts.correct.item() == want.correct.item() * times
    first, *others = grad.split(PERIOD)
    assert_gradient_near(case, first, want.grad, reduction="sum")
    assert len(others) == times - 1
    differ = [k for k, rows in enumerate(others, 1) if not torch.equal(rows, first)]
    assert not differ, f"of {times} repetitions these differ from the first: {differ[:10]}"


@POWERS
def test_losses_before_and_beyond_the_limit(repeated):
    case, times, many = repeated
    want = expected(case, reduction="none")
    for reduction in ("none", "mean"):
        with torch.no_grad():
            got = ffdwv_loss(*many, reduction=reduction)
        wanted = want.loss.repeat(times) if reduction == "none" else expected(case).loss
        assert_near(got, wanted, loss_tolerance(case), 1e-5, reduction)
