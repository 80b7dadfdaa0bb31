"""The control for the loss's scale: no soft labels, the same factor."""

from torch import Tensor

from ffdwv_fast.loss.arguments import LossArguments
from ffdwv_fast.methods.method import FusedMethod


class DoubleCE(FusedMethod):
    """(1 + soft_weight) * cross-entropy: eq. 9 with S the identity, as KL(e_y || p) = CE(y).

    With momentum and weight decay a loss twice as large is another training, whatever the labels:
    what FFDWV gains over this is what its soft labels are worth, and not its scale.
    """

    has_soft_term = False

    def _arguments(self, logits: Tensor, labels: Tensor, targets: Tensor | None) -> LossArguments:
        alone = self._with_soft(logits, labels, None)
        return alone._replace(ce_weight=alone.ce_weight + alone.soft_weight)
