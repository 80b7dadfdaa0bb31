"""The control for the neighbours: the same soft labels, handed to the wrong classes."""

import torch
from torch import Tensor

from ffdwv_fast.errors import InputError
from ffdwv_fast.methods.ffdwv import FFDWV


class FFDWVPermuted(FFDWV):
    """FFDWV with S[pi][:, pi], where pi is a derangement of the classes drawn by the run's seed.

    Row i is the row of class pi(i) with its columns renamed, so each class still has the largest
    entry at itself, and the values of the diagonal and the entropies of the rows are those of S in
    another order; which classes are near is wrong. (Permuting the rows alone would mislabel.) What
    FFDWV gains over this is what the words know.

    Attributes:
        similarity: S[pi][:, pi].
        permutation: pi, [C] int64.

    Raises:
        InputError: fewer than 3 classes: two have no other neighbour.
    """

    def __init__(self, similarity: Tensor, soft_weight: float, *, seed: int = 0, **ingredients):
        pi = derangement(len(similarity), seed).to(similarity.device)
        super().__init__(similarity[pi][:, pi], soft_weight, seed=seed, **ingredients)
        self.register_buffer("permutation", pi)


def derangement(n: int, seed: int) -> Tensor:
    """A uniformly drawn permutation of range(n) without a fixed point, [n] int64.

    Args:
        n: how many, 3 or more.
        seed: of the draw, which touches no other generator.

    Raises:
        InputError: n is below 3.
    """
    if n < 3:
        raise InputError(f"ffdwv-permuted needs 3 classes or more to confuse, and there are {n}")
    generator = torch.Generator().manual_seed(seed)
    while True:  # of all permutations 1 in e will do
        pi = torch.randperm(n, generator=generator)
        if not (pi == torch.arange(n)).any():
            return pi
