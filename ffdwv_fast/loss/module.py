"""The fused loss as an nn.Module."""

import torch
from torch import Tensor

from ffdwv_fast.errors import InputError
from ffdwv_fast.loss.arguments import prepare_similarity, reduction_code
from ffdwv_fast.loss.functional import ffdwv_loss
from ffdwv_fast.loss.parts import LossParts


class FFDWVLoss(torch.nn.Module):
    """`ffdwv_loss` with its similarity matrix as a buffer, so that `.to(device)` moves it along.

    Args:
        similarity: S, [C, C] float32 or of the logits' dtype, rows summing to 1; see
            `similarity_matrix`.
        soft_weight: weight of the KL term.
        ce_weight: weight of the cross-entropy term.
        reduction: "mean", "sum" or "none".
        ignore_index: label of rows that do not count.

    Raises:
        InputError: S is not a square matrix of probabilities, or the reduction is unknown.
    """

    def __init__(
        self,
        similarity: Tensor,
        soft_weight: float = 1.0,
        *,
        ce_weight: float = 1.0,
        reduction: str = "mean",
        ignore_index: int = -100,
    ):
        super().__init__()
        if not isinstance(similarity, Tensor) or not similarity.is_floating_point():
            raise InputError("similarity must be a floating torch.Tensor [C, C]")
        if similarity.dim() != 2 or similarity.shape[0] != similarity.shape[1]:
            raise InputError(
                f"similarity has shape {tuple(similarity.shape)}; it must be square, [C, C]"
            )
        reduction_code(reduction)
        prepare_similarity(similarity)
        self.register_buffer("similarity", similarity.detach())
        self.soft_weight = soft_weight
        self.ce_weight = ce_weight
        self.reduction = reduction
        self.ignore_index = ignore_index

    def forward(
        self, logits: Tensor, labels: Tensor, return_parts: bool = False
    ) -> Tensor | LossParts:
        """The loss of logits [N, C] and labels [N]; see `ffdwv_loss`."""
        return ffdwv_loss(
            logits,
            labels,
            self.similarity,
            self.soft_weight,
            ce_weight=self.ce_weight,
            reduction=self.reduction,
            ignore_index=self.ignore_index,
            return_parts=return_parts,
        )

    def extra_repr(self) -> str:
        return (
            f"classes={self.similarity.shape[0]}, soft_weight={self.soft_weight}, "
            f"ce_weight={self.ce_weight}, reduction={self.reduction!r}"
        )
