"""What training and testing cost in floating-point operations (the paper's Table 3).

An operation is a multiplication or an addition, so a multiply-accumulate is two; those of
convolutions and matrix products count. TeCost is one network's forward pass on one image, TrCost
the forward passes of every network that a training step runs, frozen teachers included: this is
what the paper's own figures for KD (6.43e8 = 5.05e8 + 1.38e8) and DML (2.76e8 = 2 x 1.38e8) add up
to. Its TrCost of FFDWV, 0.97e8 and 0.59e8, is less than its one forward pass and follows from
nothing that it says.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ffdwv_fast.engine.network import FEW_IMAGES, without_values
from ffdwv_fast.methods import Method


class Costs(NamedTuple):
    """Costs of a run, as summary.json holds them.

    Attributes:
        train_flops: TrCost: forward passes of a training step, for each image.
        test_flops: TeCost: a forward pass of one trained network, for each image.
    """

    train_flops: int
    test_flops: int


def costs(model: nn.Module, method: Method, image_shape: tuple[int, int, int]) -> Costs:
    """TrCost and TeCost; computes on shapes alone and leaves the networks as they are.

    Args:
        model: what is trained: one network, or all of a method that trains several alike ones.
        method: may bring networks of its own, see `Method.targets`.
        image_shape: (C, H, W).
    """
    shapes = without_values(nn.ModuleList([model, method]))
    trained = _flops(shapes[0], image_shape)
    return Costs(trained + _flops(shapes[1].targets, image_shape), trained // method.networks)


def _flops(forward: Callable[[Tensor], object], image_shape: tuple[int, int, int]) -> int:
    """Operations of a forward pass, for each image."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        forward(torch.zeros(FEW_IMAGES, *image_shape, device="meta"))
    return counter.get_total_flops() // FEW_IMAGES
