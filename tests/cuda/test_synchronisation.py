"""The host never waits for the device, but for the one time that the values of S are read."""

import pytest
import torch

from ffdwv_fast import loss_and_grad
from tests.cuda.device import (
    KINDS_OF_SOFT,
    loss_and_gradient,
    put_to_sleep,
    soft_of_kind,
    waiting_is_an_error,
)
from tests.loss.cases import assert_identical, make_case
from tests.loss_variants.cases import KINDS, autograd_of, make_variant

pytestmark = pytest.mark.gpu_only("a CPU is not waited for")

REDUCTIONS = pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
SHAPES = pytest.mark.parametrize(("n", "c"), [(100, 10), (5000, 100)])


@REDUCTIONS
@SHAPES
def test_forward_and_backward_ask_torch_for_no_wait(n, c, reduction, device):
    case = make_case(n, c, device=device)
    want = loss_and_gradient(case, reduction=reduction)
    with waiting_is_an_error():
        got = loss_and_gradient(case, reduction=reduction)
    assert_identical(got, want)


@REDUCTIONS
@SHAPES
def test_forward_and_backward_return_while_the_device_is_busy(n, c, reduction, device):
    # Torch sees its own waits alone; this sees those of the op's library too.
    case = make_case(n, c, device=device)
    want = loss_and_gradient(case, reduction=reduction)
    loss_and_gradient(case, reduction=reduction)  # leaves memory for the next
    torch.cuda.synchronize()
    awake = put_to_sleep()
    got = loss_and_gradient(case, reduction=reduction)
    assert not awake.query(), "the host waited"
    assert_identical(got, want)


@pytest.mark.parametrize("kind", KINDS)
@SHAPES
def test_the_other_losses_ask_for_no_wait(n, c, kind, device):
    v = make_variant(kind, n, c, device=device)
    want, want_grad = autograd_of(v)
    with waiting_is_an_error():
        got, grad = autograd_of(v)
    assert_identical((*got, grad), (*want, want_grad))


@pytest.mark.parametrize("kind", KINDS_OF_SOFT)
@SHAPES
def test_loss_and_grad_returns_while_the_device_is_busy(n, c, kind, device):
    case, soft = make_case(n, c, device=device), soft_of_kind(kind, n, c, device)
    scale = torch.tensor(256.0, device=device)

    def run():
        parts, grad = loss_and_grad(case.logits, case.labels, loss_scale=scale, **soft)
        return [*parts, grad]

    want = run()
    run()  # leaves memory for the next
    torch.cuda.synchronize()
    awake = put_to_sleep()
    with waiting_is_an_error():
        got = run()
    assert not awake.query(), "the host waited"
    assert_identical(got, want)


def test_the_values_of_a_matrix_are_waited_for_once(device):
    case = make_case(100, 10, device=device)
    with waiting_is_an_error(), pytest.raises(RuntimeError, match="synchronizing CUDA operation"):
        loss_and_gradient(case)
    want = loss_and_gradient(case)
    with waiting_is_an_error():
        got = loss_and_gradient(case)
    assert_identical(got, want)


def test_a_matrix_that_is_written_to_is_read_again(device):
    case = make_case(100, 10, device=device)
    loss_and_gradient(case)
    case.similarity.copy_(torch.eye(10))
    with waiting_is_an_error(), pytest.raises(RuntimeError, match="synchronizing CUDA operation"):
        loss_and_gradient(case)
