"""The paper's method."""

from ffdwv_fast.methods.method import FusedMethod


class FFDWV(FusedMethod):
    """Cross-entropy + soft_weight * KL(S_y || p) (paper, eq. 9)."""

    needs_similarity = True
