"""A network by its name: one of MODELS, or LIBRARY:NAME, one of another package's."""

from collections.abc import Callable
from typing import NamedTuple

from torch import nn

from ffdwv_fast.errors import InputError
from ffdwv_fast.models import MODELS, timm_models


class Library(NamedTuple):
    """Another package's networks, which are too many to list.

    Attributes:
        refuse_unknown: raises InputError for a name without a network, and without the package.
        make: a network of a name that is known: (name, num_classes, image_shape, channels_last,
            skip_counters).
    """

    refuse_unknown: Callable[[str], None]
    make: Callable[..., nn.Module]


LIBRARIES = {"timm": Library(timm_models.refuse_unknown, timm_models.make)}
NAMES = f"{', '.join(MODELS)} or {' or '.join(f'{name}:NAME' for name in LIBRARIES)}"


def is_of_library(name: str) -> bool:
    """Whether a name, which may be anyone's, says that its network is another package's."""
    library, colon, _ = name.partition(":")
    return bool(colon) and library in LIBRARIES


def refuse_unknown_model(name: str) -> None:
    """Raise InputError, which begins with the name, unless there is a network of that name."""
    if is_of_library(name):
        library, _, own = name.partition(":")
        LIBRARIES[library].refuse_unknown(own)
    elif name not in MODELS:
        raise InputError(f"{name!r} is unknown; use {NAMES}")


def make_model(
    name: str,
    num_classes: int,
    image_shape: tuple[int, int, int],
    *,
    shortcut: str = "A",
    channels_last: bool = True,
    skip_counters: bool = True,
) -> nn.Module:
    """An untrained network on the CPU.

    Args:
        name: in MODELS, or LIBRARY:NAME.
        num_classes: C.
        image_shape: (channels, height, width).
        shortcut: of the networks in MODELS: see `ResNet`.
        channels_last: whether weights are in channels-last memory, so that activations are.
        skip_counters: whether batch normalisation leaves its batches uncounted.

    Raises:
        InputError: an unknown name, or a network that cannot be made for such images.
    """
    refuse_unknown_model(name)
    options = {"channels_last": channels_last, "skip_counters": skip_counters}
    if is_of_library(name):
        library, _, own = name.partition(":")
        return LIBRARIES[library].make(own, num_classes, image_shape, **options)
    return MODELS[name](num_classes, in_channels=image_shape[0], shortcut=shortcut, **options)


def as_file_name(name: str) -> str:
    """A network's name as a part of a file's: without the colon, which some programs give a
    meaning.
    """
    return name.replace(":", "-")
