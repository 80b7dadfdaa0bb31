"""The host never waits for the device, but for the one time that the values of S are read."""

import pytest
import torch

from tests.cuda.device import loss_and_gradient, put_to_sleep, waiting_is_an_error
from tests.loss.cases import assert_identical, make_case

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
