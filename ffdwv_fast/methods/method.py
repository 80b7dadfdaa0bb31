"""What a training method is: a map from (logits, labels) to a loss and its parts."""

from torch import Tensor, nn

from ffdwv_fast.loss.arguments import LossArguments
from ffdwv_fast.loss.functional import loss_and_parts


class Method(nn.Module):
    """A loss with what it needs in buffers, so that `.to(device)` moves it along.

    Args:
        similarity: S, [C, C] float32; None for methods whose `needs_similarity` is False.
        soft_weight: weight of the soft-target term.
    """

    needs_similarity = False

    def __init__(self, similarity: Tensor | None, soft_weight: float):
        super().__init__()
        self.register_buffer("similarity", similarity)
        self.soft_weight = soft_weight

    def forward(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The loss to minimise and its parts.

        Args:
            logits: [N, C].
            labels: [N] int64.

        Returns:
            loss: [], the mean over the batch.
            parts: [3] float64, detached: mean ce, mean kl, number of correct predictions.
        """
        return loss_and_parts(
            LossArguments(logits, labels, self.similarity, 1.0, self.soft_weight, "mean", -100)
        )
