"""Widths at which another kernel takes over, and more rows than the grid has groups of threads."""

import pytest
import torch

from ffdwv_fast import ffdwv_loss
from tests.loss.cases import assert_loss_matches, make_case

DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]
EDGES = [2**k for k in range(5, 14)]  # those of csrc/cuda/tiers.cuh, too
# A grid has 8 blocks for each of up to 160 processors, each takes 32, 8, 8, 1, 1, 1 rows.
MORE_ROWS = [
    (100_003, 10),
    (20_011, 100),
    (10_301, 200),
    (2_503, 1500),
    (1_409, 3000),
    (1_409, 9000),
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("similarity_layout", ["expanded", "none"])
@pytest.mark.parametrize("edge", EDGES)
def test_edges_of_the_kernels(edge, similarity_layout, dtype, device):
    for c in (edge - 1, edge, edge + 1):
        case = make_case(5, c, dtype, similarity_layout=similarity_layout, device=device)
        assert_loss_matches(case, ffdwv_loss, f"C = {c}")


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(("n", "c"), MORE_ROWS)
def test_more_rows_than_the_grid_takes_at_once(n, c, reduction, device):
    if device == "cpu":
        n //= 50
    case = make_case(n, c, similarity_layout="expanded", device=device)
    case.labels[::5] = -100
    assert_loss_matches(case, ffdwv_loss, reduction=reduction)
