"""What to say where a GPU's memory does not suffice."""

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from ffdwv_fast.errors import InputError


@contextmanager
def fitting_memory(batch_size: int, try_step: Callable[[int], None] | None) -> Iterator[None]:
    """Within, running out of a GPU's memory becomes an InputError that says what fits.

    Args:
        batch_size: of the steps within.
        try_step: takes a step on so many images and leaves no trace; raises
            torch.OutOfMemoryError where they do not fit. None: it cannot be tried, as steps are
            taken together with other processes.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        traceback.clear_frames(error.__traceback__)  # whose activations fill the memory
        advice = "use a smaller one" if try_step is None else _what_fits(batch_size, try_step)
        raise InputError(
            f"--batch-size {batch_size}: the GPU's free memory does not suffice; {advice}; --amp "
            "needs less, and another program may hold some of it"
        ) from None


def _what_fits(batch_size: int, try_step: Callable[[int], None]) -> str:
    smaller = _fitting_batch_size(batch_size, try_step)
    return f"--batch-size {smaller} fits" if smaller else "not even a batch of one image fits"


def _fitting_batch_size(batch_size: int, try_step: Callable[[int], None]) -> int:
    """The largest of half the size, a quarter and so on that fits; 0 where none does."""
    while batch_size := batch_size // 2:
        if _fits(batch_size, try_step):
            return batch_size
    return 0


def _fits(batch_size: int, try_step: Callable[[int], None]) -> bool:
    try:
        try_step(batch_size)
    except torch.OutOfMemoryError as error:
        traceback.clear_frames(error.__traceback__)
        return False
    return True
