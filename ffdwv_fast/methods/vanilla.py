"""Training on the labels alone."""

from ffdwv_fast.methods.method import FusedMethod


class Vanilla(FusedMethod):
    """Cross-entropy (paper, eq. 2)."""

    uses_soft_weight = False
    has_soft_term = False
