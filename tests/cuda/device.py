"""What the tests of this folder do to the device. Importing it needs no GPU."""

from contextlib import contextmanager

import torch
from torch import Tensor

from ffdwv_fast import ffdwv_loss
from tests.loss.cases import Case, gradient_of, make_case
from tests.loss_variants.cases import WITH_TENSOR, make_variant

# 0.3 s at 2 GHz: hundreds of times what the host needs to launch forward and backward.
SLEEP_CYCLES = 600_000_000


def loss_and_gradient(case: Case, **options) -> list[Tensor]:
    """loss, ce, kl, correct and gradient of ffdwv_loss; waits for nothing."""
    parts, grad = gradient_of(case, ffdwv_loss, **options)
    return [*parts, grad]


# What loss_and_grad takes beside logits and labels.
KINDS_OF_SOFT = ("none", "similarity", *WITH_TENSOR)


def soft_of_kind(kind: str, n: int, c: int, device: str) -> dict[str, Tensor]:
    """Soft targets [n, c] or S [c, c], random, as loss_and_grad takes them; {} for "none"."""
    if kind == "none":
        return {}
    if kind == "similarity":
        return {kind: make_case(n, c, device=device).similarity}
    return {kind: make_variant(kind, n, c, device=device).soft}


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
