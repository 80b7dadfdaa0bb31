"""Which device a name means, and whether this machine has it."""

import torch

from ffdwv_fast.errors import InputError


def resolve_device(device: torch.device | str, *, option: str | None = None) -> torch.device:
    """The torch device that a name stands for.

    Args:
        device: "cpu", "cuda" or "cuda:N", or "auto": a GPU if there is one, else the CPU.
        option: the command line's option that gave the name, for the error to name it.

    Raises:
        InputError: not a device, or one that this machine lacks.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    named = f"device {str(device)!r}" if option is None else f"{option} {device}"
    try:
        resolved = torch.device(device)
    except RuntimeError:
        resolved = None
    if resolved is None or resolved.type not in ("cpu", "cuda"):
        raise InputError(f"{named}: expected auto, cpu, cuda or cuda:N")
    count = torch.cuda.device_count()
    if resolved.type == "cuda" and (resolved.index or 0) >= count:
        raise InputError(
            f"{named}: torch {torch.__version__} sees {count} CUDA devices here; use "
            f"{option or 'device'} cpu{' or a lower N' if count else ''}"
        )
    return resolved
