"""Low-precision copies of the weights, so that autocast need not cast each one in every step."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

# What autocast runs in low precision, and so would cast the parameters of. Just these: layers that
# are derived from them may do more with their weights, in float32.
_CAST_BY_AUTOCAST = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


class WeightCopies:
    """A twin of a network whose convolutions and linear layers have low-precision weights.

    The twin is what a step runs. All else, batch normalisation's parameters and statistics too, it
    shares with the network, whose weights stay in float32 and are what is updated and saved.
    Casting 33 weights one by one, and their gradients back, is 66 kernels in a ResNet-32; here it
    is two. The bits are the same.

    Args:
        model: the network, on its device.
        dtype: of the copies.

    Attributes:
        twin: the network to run.
        copies: its own parameters.
    """

    def __init__(self, model: nn.Module, dtype: torch.dtype):
        layers = [m for m in model.modules() if type(m) in _CAST_BY_AUTOCAST]
        self._weights = list({p: None for m in layers for p in m.parameters(recurse=False)})
        self.copies = [nn.Parameter(p.detach().to(dtype)) for p in self._weights]
        own = dict(zip(self._weights, self.copies, strict=True))
        self.twin = twin_of(model, own).train()
        self._gradients = [torch.zeros_like(p) for p in self._weights]

    def gradients_to_weights(self) -> None:
        """After the backward pass: give the network's weights the gradients of the copies."""
        rows = zip(self._weights, self._gradients, self.copies, strict=True)
        reached = [(w, g, c.grad) for w, g, c in rows if c.grad is not None]
        if reached:
            torch._foreach_copy_([g for _, g, _ in reached], [c for _, _, c in reached])
        for weight, gradient, _ in reached:
            weight.grad = gradient

    @torch.no_grad()
    def weights_to_copies(self) -> None:
        """After the update: write the network's weights to the copies."""
        if self.copies:
            torch._foreach_copy_(self.copies, self._weights)


def twin_of(model: nn.Module, own: Mapping[Tensor, Tensor] | None = None) -> nn.Module:
    """A network like another one that shares its parameters and buffers.

    Args:
        model: the other one.
        own: what stands in the twin for some of them.
    """
    shared = {id(t): t for t in (*model.parameters(), *model.buffers())}
    replaced = {id(theirs): ours for theirs, ours in (own or {}).items()}
    return copy.deepcopy(model, {**shared, **replaced})
