"""What a training method is: a map from (logits, labels) to a loss and its parts."""

from torch import Tensor, nn

from ffdwv_fast.loss.arguments import LossArguments
from ffdwv_fast.loss.run import loss_and_parts, loss_parts_grad


class Method(nn.Module):
    """A loss with what it needs in buffers, so that `.to(device)` moves it along.

    A subclass writes `forward`. One that can give its gradient with respect to the logits without
    autograd also writes `gradient` and sets `gives_gradient`.
    """

    needs_similarity = False
    gives_gradient = False

    def forward(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The loss to minimise and its parts.

        Args:
            logits: [N, C].
            labels: [N] int64.

        Returns:
            loss: [], the mean over the batch.
            parts: [3] float64, detached: mean ce, mean kl, number of correct predictions.
        """
        raise NotImplementedError

    def gradient(
        self, logits: Tensor, labels: Tensor, loss_scale: float | Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What `forward` gives, and what its backward pass would give for a loss times loss_scale.

        Args:
            logits: [N, C].
            labels: [N] int64.
            loss_scale: of the gradient alone; a number, or a tensor [] that is not waited for.

        Returns:
            loss, parts: as `forward`, both detached.
            grad: [N, C] of the logits' dtype, the same bits as autograd's.
        """
        raise NotImplementedError


class FusedMethod(Method):
    """CE + soft_weight * KL(S_y || p), or CE alone without S, by the package's fused op.

    Args:
        similarity: S, [C, C] float32; None for methods whose `needs_similarity` is False.
        soft_weight: weight of the soft-target term.
    """

    gives_gradient = True

    def __init__(self, similarity: Tensor | None, soft_weight: float):
        super().__init__()
        self.register_buffer("similarity", similarity)
        self.soft_weight = soft_weight

    def forward(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        return loss_and_parts(self._arguments(logits, labels))

    def gradient(
        self, logits: Tensor, labels: Tensor, loss_scale: float | Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        return loss_parts_grad(self._arguments(logits, labels), loss_scale)

    def _arguments(self, logits: Tensor, labels: Tensor) -> LossArguments:
        return LossArguments(logits, labels, self.similarity, 1.0, self.soft_weight, "mean", -100)
