"""The same input gives the same bits, whatever else the device is doing.

Within one torch on one GPU, that is. The op takes nothing from torch but memory, so torch 2.11 to
2.14 run the same kernels from the same library; only the entropies of S, float64, are summed by
torch, and a version that adds in another order may change their last bit, which a float32 result
hardly ever shows. Another GPU has another number of blocks, and so another order of sums.
"""

from collections.abc import Callable
from contextlib import contextmanager, nullcontext

import pytest
import torch

from tests.cuda.device import loss_and_gradient, synchronize
from tests.loss.cases import assert_identical, make_case
from tests.loss_variants.cases import KINDS, autograd_of, make_variant

DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]


@contextmanager
def contention(device: str):
    """Another stream multiplies matrices meanwhile."""
    other = torch.cuda.Stream()
    with torch.cuda.stream(other):
        matrix = torch.rand(2048, 2048, device=device)
        for _ in range(100):
            matrix = matrix @ matrix / 1024
    yield
    other.synchronize()


# Many blocks, most with several tiles of rows; the count in a launch of its own.
@pytest.mark.parametrize("busy", [False, True], ids=["alone", "beside another stream"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("n", "c"), [(60_007, 10), (12_007, 100), (2_503, 1500), (301, 9000)])
def test_two_runs_are_bit_equal(n, c, dtype, busy, device):
    if device == "cpu":
        n //= 50
        if busy:
            pytest.skip("a CPU has no streams")
    case = make_case(n, c, dtype, similarity_layout="expanded", device=device)
    case.labels[::7] = -100
    assert_repeatable(lambda: loss_and_gradient(case), busy, device)


@pytest.mark.gpu_only("tests/loss_variants/test_determinism.py is the CPU's")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "c"), [(60_007, 10), (12_007, 100), (2_503, 1500), (301, 9000)])
def test_two_runs_of_the_other_losses_are_bit_equal(n, c, kind, device):
    v = make_variant(kind, n, c, device=device)
    v.labels[::7] = -100

    def run():
        parts, grad = autograd_of(v)
        return [*parts, grad]

    assert_repeatable(run, True, device)


def assert_repeatable(run: Callable[[], list], busy: bool, device: str) -> None:
    """Six runs give the same bits, the last five of them beside another stream's work if busy."""
    first = run()
    synchronize(device)
    with contention(device) if busy else nullcontext():
        others = [run() for _ in range(5)]
    for other in others:
        assert_identical(other, first)
