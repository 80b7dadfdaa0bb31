"""The other losses, and loss_and_grad of all, at the widths where another kernel takes over."""

import pytest
import torch

from ffdwv_fast import loss_and_grad
from tests.cuda.test_widths import DTYPES, EDGES, MORE_ROWS
from tests.loss.cases import assert_matches, make_case
from tests.loss_variants.cases import (
    KINDS,
    WITH_TENSOR,
    assert_variant_matches,
    autograd_of,
    call_loss_and_grad,
    make_variant,
)

SCALE = 256.0
WEIGHTS = dict(soft_weight=0.7, ce_weight=1.3)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("edge", EDGES)
def test_edges_of_the_kernels(edge, kind, dtype, device):
    for c in (edge - 1, edge, edge + 1):
        for soft_dtype in {torch.float32, dtype}:
            v = make_variant(kind, 5, c, dtype, soft_dtype=soft_dtype, device=device)
            assert_variant_matches(v, *autograd_of(v), f"C = {c}, {soft_dtype}")


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "c"), MORE_ROWS)
def test_more_rows_than_the_grid_takes_at_once(n, c, kind, reduction, device):
    if device == "cpu":
        n //= 50
    v = make_variant(kind, n, c, device=device)
    v.labels[::5] = -100
    assert_variant_matches(v, *autograd_of(v, reduction=reduction), reduction=reduction)


@pytest.fixture(params=["float", "tensor"])
def loss_scale(request, device):
    """SCALE, in either form that loss_and_grad takes."""
    return SCALE if request.param == "float" else torch.tensor(SCALE, device=device)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("kind", WITH_TENSOR)
@pytest.mark.parametrize("edge", EDGES)
def test_loss_and_grad_of_a_tensor_by_row(edge, kind, dtype, loss_scale, device):
    for c in (edge - 1, edge, edge + 1):
        v = make_variant(kind, 5, c, dtype, device=device)
        parts, grad = call_loss_and_grad(v, loss_scale=loss_scale, **WEIGHTS)
        assert_variant_matches(v, parts, grad, f"C = {c}", grad_out=SCALE, **WEIGHTS)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("similarity_layout", ["expanded", "none"])
@pytest.mark.parametrize("edge", EDGES)
def test_loss_and_grad_of_a_matrix_and_of_labels_alone(
    edge, similarity_layout, dtype, loss_scale, device
):
    for c in (edge - 1, edge, edge + 1):
        case = make_case(5, c, dtype, similarity_layout=similarity_layout, device=device)
        parts, grad = loss_and_grad(*case, loss_scale=loss_scale, **WEIGHTS)
        assert_matches(case, parts, grad, f"C = {c}", grad_out=SCALE, **WEIGHTS)


@pytest.mark.parametrize("reduction", ["sum", "none"])
@pytest.mark.parametrize("c", [10, 1000, 9000])
def test_loss_and_grad_of_rows_that_are_not_averaged(c, reduction, loss_scale, device):
    v = make_variant("teacher_logits", 33, c, device=device)
    v.labels[::5] = -100
    options = dict(reduction=reduction, **WEIGHTS)
    parts, grad = call_loss_and_grad(v, loss_scale=loss_scale, **options)
    assert_variant_matches(v, parts, grad, grad_out=SCALE, **options)
