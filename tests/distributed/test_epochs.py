"""Two processes against one with the same global batch, in float64 with batch norm frozen."""

import pytest
import torch

from tests.distributed.epochs import FROZEN, all_recorded, furthest
from tests.distributed.launch import finish, start

BOUND = 1e-10
CASES = pytest.mark.parametrize("case", FROZEN)


@pytest.fixture(scope="module")
def by_two(tmp_path_factory) -> list[dict]:
    """What each of two processes has found."""
    folder = tmp_path_factory.mktemp("epochs")
    status, _, err = finish(start(2, "-m", "tests.distributed.epochs", str(folder), "cpu"))
    assert status == 0, err
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in range(2)]


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
