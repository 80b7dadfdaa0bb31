"""ffdwv_fast: word-vector soft labels, a fused loss op, a fast trainer for small images.

    W = class_vectors(["cat", "dog", "ship"], source="glove-6b-50d")   # [C, D]
    S = similarity_matrix(W)                                           # [C, C], rows sum to 1
    loss = ffdwv_loss(logits, labels, S)                               # CE + KL(S_y || p)

The losses and networks need torch alone, the soft labels numpy beside it.
"""

from importlib.util import find_spec

from ffdwv_fast.build import build_info
from ffdwv_fast.errors import InputError
from ffdwv_fast.extras import need
from ffdwv_fast.loss import (
    FFDWVLoss,
    LossParts,
    distillation_loss,
    ffdwv_loss,
    label_smoothing_loss,
    loss_and_grad,
    soft_target_loss,
)
from ffdwv_fast.models import resnet8, resnet20, resnet32, resnet44, resnet56, resnet110

if find_spec("numpy") is not None:
    from ffdwv_fast.semantics import SimilarityRows, class_vectors, similarity_matrix
else:

    def __getattr__(name: str) -> object:
        """Say what is missing where the soft labels are asked for."""
        if name in __all__:
            need("numpy")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "FFDWVLoss",
    "InputError",
    "LossParts",
    "SimilarityRows",
    "build_info",
    "class_vectors",
    "distillation_loss",
    "ffdwv_loss",
    "label_smoothing_loss",
    "loss_and_grad",
    "resnet8",
    "resnet20",
    "resnet32",
    "resnet44",
    "resnet56",
    "resnet110",
    "similarity_matrix",
    "soft_target_loss",
]
