"""Training on the labels alone."""

from ffdwv_fast.methods.method import Method


class Vanilla(Method):
    """Cross-entropy (paper, eq. 2)."""
