"""Training on the labels alone."""

from ffdwv_fast.methods.method import FusedMethod


class Vanilla(FusedMethod):
    """Cross-entropy (paper, eq. 2)."""
