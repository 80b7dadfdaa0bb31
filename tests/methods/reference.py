"""The methods' losses once more: float64, PyTorch's own functions, nothing of the package."""

import torch
from torch import Tensor
from torch.nn import functional as F


def reference_loss(
    name: str,
    logits: Tensor,
    labels: Tensor,
    similarity: Tensor,
    weight: float,
    *,
    permutation: Tensor | None = None,
    teacher: Tensor | None = None,
    temperature: float = 1.0,
) -> Tensor:
    """The loss [] of a method by name, for autograd; logits [2, N, C] for dml."""
    if name == "dml":
        one, two = logits
        return _mutual(one, two, labels, weight) + _mutual(two, one, labels, weight)
    ce = F.cross_entropy(logits, labels)
    log_p = F.log_softmax(logits, dim=1)
    if name == "vanilla":
        return ce
    if name == "double-ce":
        return (1 + weight) * ce
    if name == "label-smoothing":
        classes = len(similarity)
        off_diagonal = (1 - similarity.diagonal().mean()) / (classes - 1)
        eps = float(weight * classes * off_diagonal / (1 + weight))
        return (1 + weight) * F.cross_entropy(logits, labels, label_smoothing=eps)
    if name == "kd":
        student = F.log_softmax(logits / temperature, dim=1)
        soft = F.softmax(teacher / temperature, dim=1)
        return ce + weight * temperature**2 * F.kl_div(student, soft, reduction="batchmean")
    if name == "ffdwv-permuted":
        pi = permutation.tolist()
        similarity = torch.stack([torch.stack([similarity[i, j] for j in pi]) for i in pi])
    soft = similarity[labels]
    if name == "ffdwv-reverse":
        return ce + weight * F.kl_div(soft.log(), log_p, reduction="batchmean", log_target=True)
    assert name in ("ffdwv", "ffdwv-permuted")
    return ce + weight * F.kl_div(log_p, soft, reduction="batchmean")


def _mutual(own: Tensor, other: Tensor, labels: Tensor, weight: float) -> Tensor:
    target = F.softmax(other.detach(), dim=1)
    kl = F.kl_div(F.log_softmax(own, dim=1), target, reduction="batchmean")
    return F.cross_entropy(own, labels) + weight * kl
