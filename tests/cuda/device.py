"""What the tests of this folder do to the device. Importing it needs no GPU."""

from contextlib import contextmanager

import torch
from torch import Tensor

from ffdwv_fast import ffdwv_loss
from tests.loss.cases import Case, gradient_of

# 0.3 s at 2 GHz: hundreds of times what the host needs to launch forward and backward.
SLEEP_CYCLES = 600_000_000


def loss_and_gradient(case: Case, **options) -> list[Tensor]:
    """loss, ce, kl, correct and gradient of ffdwv_loss; waits for nothing."""
    parts, grad = gradient_of(case, ffdwv_loss, **options)
    return [*parts, grad]


def without_logits(case: Case) -> Case:
    """The same labels and S, with logits of 0: another loss, another gradient."""
    return case._replace(logits=torch.zeros_like(case.logits))


def synchronize(device: str) -> None:
    """Wait for the device; raises where a kernel has failed."""
    torch.get_device_module(device).synchronize()


def put_to_sleep() -> torch.cuda.Event:
    """Keep the current stream busy; the event is done once it wakes."""
    torch.cuda._sleep(SLEEP_CYCLES)
    awake = torch.cuda.Event()
    awake.record()
    return awake


@contextmanager
def waiting_is_an_error():
    """Torch refuses what makes the host wait for the device."""
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)
