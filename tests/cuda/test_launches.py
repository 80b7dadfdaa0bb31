"""What one call of the op puts on the device, by the names that the profiler sees.

Loss and gradient are one kernel. Before it come a memset of the blocks' ticket, where blocks have
to add up, and a kernel that counts labels, where a mean has too many rows for every block to count.
"""

from collections.abc import Callable

import pytest
import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from ffdwv_fast import loss_and_grad
from ffdwv_fast.loss.arguments import REDUCTIONS
from tests.cuda.device import KINDS_OF_SOFT, soft_of_kind
from tests.loss.cases import make_case, op_arguments

pytestmark = pytest.mark.gpu_only("a CPU has no launches")


def launched(call: Callable, device: str) -> list[str]:
    """Names of what `call` runs on the device; skips the test where no names can be had."""
    call()
    torch.cuda.synchronize()
    for _ in range(2):  # the first profile of a process may come back empty
        control = torch.zeros(7, device=device)
        torch.cuda.synchronize()
        with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
            control.cosh_()
            call()
            torch.cuda.synchronize()
        # Torch's own kernel shows that there are names at all.
        events = [e.name for e in profiler.events() if e.device_type == DeviceType.CUDA]
        if any("cosh" in name for name in events):
            return [name for name in events if "cosh" not in name]
    return pytest.skip("the profiler sees no kernels on this machine")


@pytest.mark.parametrize("compute_grad", [True, False], ids=["gradient", "loss alone"])
@pytest.mark.parametrize(
    ("n", "reduction", "kernels", "memsets"),
    [
        (5, "mean", 1, 0),
        (2048, "mean", 1, 1),
        (2049, "mean", 2, 1),
        (100_000, "mean", 2, 1),
        (100_000, "sum", 1, 1),
        (100_000, "none", 1, 0),
    ],
)
def test_a_call_is_one_kernel(n, reduction, kernels, memsets, compute_grad, device):
    arguments = op_arguments(
        make_case(n, 10, device=device), reduction=REDUCTIONS[reduction], compute_grad=compute_grad
    )

    def call():
        torch.ops.ffdwv_fast.ffdwv_loss.default(*arguments)

    assert_launched(launched(call, device), kernels, memsets)


@pytest.mark.parametrize("scale", ["float", "tensor"])
@pytest.mark.parametrize("kind", KINDS_OF_SOFT)
def test_loss_and_grad_is_one_kernel(kind, scale, device):
    case, soft = make_case(5, 10, device=device), soft_of_kind(kind, 5, 10, device)
    loss_scale = 256.0 if scale == "float" else torch.tensor(256.0, device=device)

    def call():
        loss_and_grad(case.logits, case.labels, loss_scale=loss_scale, **soft)

    assert_launched(launched(call, device), kernels=1, memsets=0)


def assert_launched(names: list[str], kernels: int, memsets: int) -> None:
    """So many kernels of the op and so many memsets are among `names`, and nothing else."""
    of_the_op = [name for name in names if "ffdwv" in name]
    of_memory = [name for name in names if "memset" in name.lower()]
    assert (len(of_the_op), len(of_memory)) == (kernels, memsets), names
    assert len(names) == kernels + memsets, names
