"""What makes a step cheaper without changing what it computes, each with its off switch."""

from collections.abc import Iterable
from dataclasses import dataclass, fields

from ffdwv_fast.errors import InputError


@dataclass(frozen=True)
class Speedups:
    """Which are on; docs/speed.md says of each what it does, and what it has been measured to give.

    Attributes:
        channels_last: activations and weights are kept in channels-last memory.
        skip_counters: batch normalisation does not count its batches, a number nobody reads.
        direct_gradient: the loss op's gradient goes to the network without autograd, where the
            method can give it.
        fused_optimizer: the update of all parameters is one kernel.
        weight_copies: with mixed precision, all low-precision weights are written once after the
            update, not each cast on its own in the forward pass.
    """

    channels_last: bool = True
    skip_counters: bool = True
    direct_gradient: bool = True
    fused_optimizer: bool = True
    weight_copies: bool = True

    @classmethod
    def without(cls, names: Iterable[str]) -> "Speedups":
        """All but those of the names, which are as in `SPEEDUPS`.

        Raises:
            InputError: there is none of a name.
        """
        for name in names:
            if name not in SPEEDUPS:
                raise InputError(
                    f"--without {name}: there is no such speed-up; use {', '.join(SPEEDUPS)}"
                )
        return cls(**{name.replace("-", "_"): False for name in names})


SPEEDUPS = tuple(field.name.replace("_", "-") for field in fields(Speedups))
