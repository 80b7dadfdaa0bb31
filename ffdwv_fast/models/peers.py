"""Several networks that see the same images."""

import torch
from torch import Tensor, nn


class Peers(nn.ModuleList):
    """Networks of one kind as one module, which gives all their logits.

    Args:
        modules: networks that give [N, C] logits each.
    """

    def forward(self, images: Tensor) -> Tensor:
        """Logits [networks, N, C] of images [N, in_channels, H, W]."""
        return torch.stack([network(images) for network in self])


def members(model: nn.Module) -> list[nn.Module]:
    """The networks that each predict for themselves: those of `Peers`, or the one there is."""
    return list(model) if isinstance(model, Peers) else [model]
