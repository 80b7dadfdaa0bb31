"""Two processes, each with a GPU, against one: all that tests/distributed has, on NCCL."""

import pytest
import torch

from tests.distributed.epochs import FROZEN, SYNCHRONISED, all_recorded, furthest
from tests.distributed.launch import finish, start

pytestmark = pytest.mark.gpu_only("tests/distributed has two processes on a CPU")
BOUND = 1e-9  # the convolutions of the halves of a batch add in another order


@pytest.fixture(scope="module")
def by_two(tmp_path_factory) -> dict:
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    folder = tmp_path_factory.mktemp("epochs")
    status, _, err = finish(start(2, "-m", "tests.distributed.epochs", str(folder), "cuda"))
    assert status == 0, err
    return torch.load(folder / "rank0.pt", weights_only=True)


@pytest.fixture(scope="module")
def by_one() -> dict:
    return all_recorded(torch.device("cuda"))


@pytest.mark.parametrize("case", [*FROZEN, *SYNCHRONISED])
def test_gradients_updates_and_metrics_are_those_of_one_gpu(by_two, by_one, case):
    distance, where = furthest(by_one[case], by_two[case])
    assert distance < BOUND, where
