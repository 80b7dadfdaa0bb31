"""CPU and device at the extremes: the same values, those of float64, within the stated bounds."""

import math
from collections.abc import Callable

import pytest
import torch

from ffdwv_fast import ffdwv_loss
from tests.loss.cases import Case, assert_loss_matches, make_case


def offset_by(offset: float) -> Callable[[Case], Case]:
    return lambda case: case._replace(logits=case.logits + offset)


def sure_of_the_label(case: Case) -> Case:
    """p_y = 0.9999."""
    n, c = case.logits.shape
    gap = math.log(0.9999 / 0.0001 * (c - 1))
    logits = torch.zeros_like(case.logits)
    logits[torch.arange(n), case.labels] = gap
    return case._replace(logits=logits)


def minus_infinity_beside_the_label(case: Case) -> Case:
    """Logits of -inf, and targets of 0, at the class after the label."""
    n, c = case.logits.shape
    logits, similarity = case.logits.clone(), case.similarity.clone()
    logits[torch.arange(n), (case.labels + 1) % c] = -math.inf
    similarity[torch.arange(c), (torch.arange(c) + 1) % c] = 0
    return case._replace(logits=logits, similarity=similarity / similarity.sum(1, keepdim=True))


EXTREMES = {
    "offset 1e4 in float32": (torch.float32, offset_by(1e4)),
    "offset -1e4 in float32": (torch.float32, offset_by(-1e4)),
    "offset 1e7 in float64": (torch.float64, offset_by(1e7)),
    "p_y 0.9999 in float32": (torch.float32, sure_of_the_label),
    "p_y 0.9999 in bfloat16": (torch.bfloat16, sure_of_the_label),
    "p_y 0.9999 in float16": (torch.float16, sure_of_the_label),
    "p_y 0.9999 of labels alone": (
        torch.float32,
        lambda case: sure_of_the_label(case)._replace(similarity=None),
    ),
    "-inf in float32": (torch.float32, minus_infinity_beside_the_label),
    "-inf in bfloat16": (torch.bfloat16, minus_infinity_beside_the_label),
    "-inf in float64": (torch.float64, minus_infinity_beside_the_label),
}


@pytest.mark.parametrize("c", [10, 100, 1000, 1030])
@pytest.mark.parametrize(("dtype", "to_extreme"), EXTREMES.values(), ids=EXTREMES)
def test_cpu_and_device_are_right(dtype, to_extreme, c, device):
    here = to_extreme(make_case(33, c, dtype))
    there = Case(*(None if t is None else t.to(device) for t in here))
    assert_loss_matches(here, ffdwv_loss, "CPU")
    assert_loss_matches(there, ffdwv_loss, "device")
