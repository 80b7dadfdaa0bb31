"""What a training method is: a map from (logits, labels) to a loss and its parts."""

from torch import Tensor, nn

from ffdwv_fast.loss.arguments import LossArguments
from ffdwv_fast.loss.run import loss_and_parts, loss_parts_grad


class Method(nn.Module):
    """A loss with what it needs in buffers and submodules, so that `.to(device)` moves it along.

    Every method is made from the same ingredients and uses what it needs of them. A subclass writes
    `forward`. One that can give its gradient with respect to the logits without autograd also
    writes `gradient` and sets `gives_gradient`.

    Args:
        similarity: S, [C, C] float32; None for methods whose `needs_similarity` is False.
        soft_weight: weight of the soft-target term (lambda).
        loss_scale: multiplies the whole loss, and so its gradient.
        seed: of the run, for what a method draws at random.
        teacher: a trained network, for methods whose `needs_teacher` is True.
        temperature: of the softmaxes that compare a network with its teacher.

    Attributes:
        soft_weight: as given; it may be changed between steps that are not a CUDA graph, which
            holds the weight that it was recorded with.
        needs_similarity: whether it needs S.
        needs_teacher: whether it needs a teacher.
        uses_soft_weight: whether soft_weight changes anything.
        has_soft_term: whether the kl among its parts means anything.
        gives_gradient: whether it has `gradient`.
        networks: how many networks it trains; of more than one, `forward` and `gradient` take the
            logits as [networks, N, C].
    """

    needs_similarity = False
    needs_teacher = False
    uses_soft_weight = True
    has_soft_term = True
    gives_gradient = False
    networks = 1

    def __init__(
        self,
        similarity: Tensor | None,
        soft_weight: float,
        *,
        loss_scale: float = 1.0,
        seed: int = 0,
        teacher: nn.Module | None = None,
        temperature: float = 1.0,
    ):
        super().__init__()
        self.register_buffer("similarity", similarity)
        self.soft_weight = soft_weight
        self.loss_scale = loss_scale

    def targets(self, images: Tensor) -> Tensor | None:
        """What a batch's images are taught beside their labels; called within autocast.

        Args:
            images: as the network gets them.

        Returns:
            What `forward` and `gradient` take as targets; None for methods that need the labels
            alone.
        """
        return None

    def forward(
        self, logits: Tensor, labels: Tensor, targets: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The loss to minimise and its parts.

        Args:
            logits: [N, C], or [networks, N, C] for methods that train several.
            labels: [N] int64.
            targets: of the batch, see `targets`. Without those that it needs, and for a single
                network of several, a method gives the cross-entropy: in evaluation.

        Returns:
            loss: [], the mean over the batch.
            parts: [3] float64, detached: mean ce, mean kl (the soft term before its weight), number
                of correct predictions; of several networks the first one's.
        """
        raise NotImplementedError

    def gradient(
        self,
        logits: Tensor,
        labels: Tensor,
        loss_scale: float | Tensor,
        targets: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What `forward` gives, and what its backward pass would give for a loss times loss_scale.

        Args:
            logits: as `forward`.
            labels: [N] int64.
            loss_scale: of the gradient alone, that of mixed precision; a number, or a tensor []
                that is not waited for.
            targets: as `forward`.

        Returns:
            loss, parts: as `forward`, both detached.
            grad: of the logits' shape and dtype, the same bits as autograd's.
        """
        raise NotImplementedError


class FusedMethod(Method):
    """A method whose loss is one call of the package's fused op: CE + soft_weight * soft term.

    The soft term is KL(S_y || p), or none without S; a subclass with another one writes
    `_arguments`.
    """

    gives_gradient = True

    def forward(
        self, logits: Tensor, labels: Tensor, targets: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        return loss_and_parts(self._arguments(logits, labels, targets))

    def gradient(
        self,
        logits: Tensor,
        labels: Tensor,
        loss_scale: float | Tensor,
        targets: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        return loss_parts_grad(self._arguments(logits, labels, targets), loss_scale)

    def _arguments(self, logits: Tensor, labels: Tensor, targets: Tensor | None) -> LossArguments:
        return self._with_soft(logits, labels, self.similarity)

    def _with_soft(
        self,
        logits: Tensor,
        labels: Tensor,
        soft: Tensor | None,
        kind: str = "similarity",
        temperature: float = 1.0,
    ) -> LossArguments:
        """The op's arguments with one kind of soft targets; None: cross-entropy alone."""
        ce_weight, soft_weight = self.loss_scale, self.loss_scale * self.soft_weight
        return LossArguments(
            logits, labels, soft, ce_weight, soft_weight, "mean", -100, kind, temperature
        )
