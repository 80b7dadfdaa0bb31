"""The network of a configuration."""

import copy

import torch
from torch import nn

from ffdwv_fast.engine.config import TrainConfig
from ffdwv_fast.engine.speedups import Speedups
from ffdwv_fast.errors import InputError, first_line
from ffdwv_fast.models.build import is_of_library, make_model

ImageShape = tuple[int, int, int]

# Batch normalisation in training mode refuses a single value per channel.
FEW_IMAGES = 2


def network_of(config: TrainConfig, num_classes: int, image_shape: ImageShape) -> nn.Module:
    """An untrained network on the CPU.

    Args:
        config: its model, shortcut and speed-ups count.
        num_classes: C.
        image_shape: (channels, height, width).

    Raises:
        InputError: there is no such network, or it does not take such images.
    """
    speedups = Speedups.without(config.without)
    network = make_model(
        config.model,
        num_classes,
        image_shape,
        shortcut=config.shortcut,
        channels_last=speedups.channels_last,
        skip_counters=speedups.skip_counters,
    )
    if is_of_library(config.model):  # our own take every size
        reason = why_unfit(network, num_classes, image_shape, FEW_IMAGES)
        if reason is not None:
            raise InputError(
                f"--model {config.model} does not take images of "
                f"{' x '.join(map(str, image_shape))} ({reason}); use another network"
            )
    return network


def why_unfit(
    network: nn.Module, num_classes: int, image_shape: ImageShape, images: int
) -> str | None:
    """Why a network cannot be trained on batches of so many images; None where it can.

    Computes on shapes alone and leaves the network as it is.
    """
    shapes = without_values(network)
    try:
        with torch.no_grad():
            logits = shapes(torch.zeros(images, *image_shape, device="meta"))
    except Exception as error:  # of whatever kind that network's code fails with
        return first_line(error)
    found = tuple(getattr(logits, "shape", ()))
    expected = (images, num_classes)
    return None if found == expected else f"it gives {found} for logits {expected}"


def without_values(module: nn.Module) -> nn.Module:
    """A copy in training mode that computes on shapes alone.

    It wants no gradients: torch's counter of operations fails where a view of a parameter, a class
    token say, is handed to a layer.
    """
    return copy.deepcopy(module).to("meta").train().requires_grad_(False)
