"""The eager way past the dispatcher gives the bits that torch.ops gives."""

import pytest
import torch

from ffdwv_fast.loss import op
from ffdwv_fast.loss.arguments import REDUCTIONS, SOFT_KINDS
from tests.cuda.test_widths import DTYPES
from tests.loss.cases import Case, assert_identical, make_case, op_arguments
from tests.loss_variants.cases import WITH_TENSOR, make_variant


def op_inputs(soft: str, dtype: torch.dtype, device: str, **options) -> tuple:
    """The op's arguments for a kind of soft targets, or for "none"; some rows are ignored."""
    if soft in WITH_TENSOR:
        v = make_variant(soft, 300, 37, dtype, device=device)
        case, options = Case(v.logits, v.labels, v.soft), options | {"temperature": v.temperature}
        options["soft_kind"] = SOFT_KINDS[soft]
    else:
        layout = "none" if soft == "none" else "contiguous"
        case = make_case(300, 37, dtype, similarity_layout=layout, device=device)
    case.labels[::3] = -100
    return op_arguments(case, soft_weight=0.7, grad_scale=2.0, **options)


@pytest.mark.parametrize("reduction", REDUCTIONS.values(), ids=REDUCTIONS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("soft", ["none", "similarity", *WITH_TENSOR])
def test_the_bits_are_those_of_the_dispatcher(soft, dtype, reduction, device):
    logits, *rest = op_inputs(soft, dtype, device, reduction=reduction)
    tensors, options = tuple(rest[:3]), tuple(rest[4:-1])
    assert op._plain_keys(logits, tensors) is not None  # else both would go the same way
    function = torch.ops.ffdwv_fast.ffdwv_loss.default
    for compute_grad in (False, True):
        want = function(logits, *tensors, None, *options, compute_grad)
        assert_identical(op.call(logits, tensors, options, compute_grad), want)

    logits.requires_grad_()
    loss, parts = op.differentiable(logits, tensors, options)
    want, want_parts, _ = function(logits, *tensors, None, *options, False)
    assert_identical((loss.detach(), parts), (want.detach(), want_parts))
    upstream = torch.ones_like(loss)
    (grad,) = torch.autograd.grad(loss, logits, upstream)
    assert_identical(grad, torch.autograd.grad(want, logits, upstream)[0])
