"""The loss and what it is made of, as the functions return it."""

from collections.abc import Iterator

import torch
from torch import Tensor


class LossParts:
    """The loss and what it is made of; only `loss` carries a gradient.

    Reads like a tuple of the four. Those after `loss` are unpacked from the op's result when they
    are first looked at: a step that reads none of them does not pay for them.

    Attributes:
        loss: ce_weight * ce + soft_weight * kl. [] or, for reduction "none", [N].
        ce: cross-entropy with the labels (paper, eq. 2), reduced as the loss is.
        kl: the soft term, reduced as the loss is: KL(S_y || p) (paper, eq. 8) or of the sample's
            soft targets; T^2 KL(teacher || student) of `distillation_loss`; the mean over the
            classes of -log p of `label_smoothing_loss`; 0 for cross-entropy alone.
        correct: int64: how many rows have their largest logit at the label (at the first of equal
            ones, as torch.argmax); for reduction "none" 0 or 1 per row, [N]. Ignored rows count 0.
    """

    def __init__(self, loss: Tensor, ce: Tensor, kl: Tensor, correct: Tensor):
        self.loss, self.ce, self.kl, self.correct = loss, ce, kl, correct

    @classmethod
    def unpacked_later(cls, loss: Tensor, parts: Tensor) -> "LossParts":
        """From the op's result: parts [3] or [3, N] float64."""
        made = cls.__new__(cls)
        made.loss, made._parts = loss, parts
        return made

    def __getattr__(self, name: str) -> Tensor:
        if name not in ("ce", "kl", "correct"):
            raise AttributeError(f"LossParts has no {name!r}: loss, ce, kl, correct")
        self.__init__(self.loss, *_typed(self._parts, self.loss.dtype))
        return self.__dict__[name]

    def __iter__(self) -> Iterator[Tensor]:
        return iter((self.loss, self.ce, self.kl, self.correct))

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Tensor:
        return tuple(self)[index]

    def __repr__(self) -> str:
        return f"LossParts(loss={self.loss}, ce={self.ce}, kl={self.kl}, correct={self.correct})"


def _typed(parts: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    ce, kl, correct = parts.unbind()
    return ce.to(dtype), kl.to(dtype), correct.long()


def named(loss: Tensor, parts: Tensor) -> LossParts:
    """The op's loss and parts, [3] or [3, N] float64, by name."""
    if torch.compiler.is_compiling():
        return LossParts(loss, *_typed(parts, loss.dtype))
    return LossParts.unpacked_later(loss, parts)
