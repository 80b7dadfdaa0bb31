"""Two processes against one with the same global batch, in float64 with batch norm frozen."""

import pytest
import torch

from tests.distributed.epochs import FROZEN, all_recorded, furthest

BOUND = 1e-10
CASES = pytest.mark.parametrize("case", FROZEN)


@pytest.fixture(scope="module")
def by_two(two_processes) -> list[dict]:
    """What each of two processes has found."""
    files = [two_processes.folder / f"rank{rank}.pt" for rank in range(2)]
    return [torch.load(file, weights_only=True) for file in files]


@pytest.fixture(scope="module")
def by_one() -> dict:
    return all_recorded(torch.device("cpu"))


@CASES
def test_gradients_updates_and_metrics_are_those_of_one_process(by_one, by_two, case):
    steps = {name[-1] for name in by_one[case] if name.startswith("gradient of")}
    assert steps == {"0", "1", "2"}
    distance, where = furthest(by_one[case], by_two[0][case])
    assert distance < BOUND, where


@CASES
def test_both_processes_have_the_same_bits(by_two, case):
    first, second = (found[case] for found in by_two)
    assert [name for name in first if not torch.equal(first[name], second[name])] == []
