"""Rows of S on demand, for more classes than a C x C matrix can be kept for."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from ffdwv_fast.errors import InputError
from ffdwv_fast.semantics.similarity_matrix import (
    AUTO_PREFIX,
    checked_metric,
    checked_vectors,
    labeller,
    parse_temperature,
    refuse_zero,
    unit_vectors,
)

_CHUNK_NUMBERS = 1 << 20  # 8 MiB of float64
# ||a||^2 + ||b||^2 - 2ab loses the digits that ||a - b||^2 is smaller by: here no more than four of
# the sixteen that float64 has.
_CANCELS_BELOW = 1e-4


class SimilarityRows:
    """Rows of S = softmax(-distance / T) (equation 7), made when they are asked for.

    ``SimilarityRows(vectors).rows(labels)`` is ``similarity_matrix(vectors)[labels]`` to float32
    rounding. S itself takes 4 C^2 bytes: 4 GB for 32,000 classes, 4 TB for 1,000,000. This keeps
    the vectors alone, 4 C D bytes in float32 (1.2 GB for 1,000,000 classes of width 300).

    N rows cost 2 N C D floating-point operations in float64 (7.7e10 for 128 rows of 1,000,000
    classes of width 300) for the products, on a CPU several times as long for the passes over the
    result, 4 N C bytes for it (512 MB), as many as the logits take in float32, and some 100 MB
    beside. Pairs so close that a matrix product would lose their distance to cancellation are
    computed again from the difference; where the vectors' spread is below a hundredth of their
    length those are nearly all, and the cost is some tens of times as high.

    Unlike `similarity_matrix` it does not look for two classes with the same vector, which would
    need all C^2 pairs; `class_vectors` has refused those.

    Example::

        rows = SimilarityRows(class_vectors(names, "GoogleNews.bin").to(device), temperature=1.0)
        for images, labels in batches:
            loss = soft_target_loss(model(images), labels, rows.rows(labels))
            loss.backward()

    Args:
        vectors: ``[C, D]``, any real dtype, finite; rows are computed on its device, which must
            have float64. A tensor is kept and not copied.
        metric: ``"euclidean"`` or ``"cosine"``, as in `similarity_matrix`.
        temperature: T, a positive number. ``"auto:M"`` needs the whole S and is refused.
        names: The C class names, for error messages.

    Raises:
        InputError: For vectors, a metric or a temperature that are not so.
    """

    def __init__(
        self,
        vectors: Tensor | np.ndarray,
        metric: str = "euclidean",
        temperature: float = 1.0,
        *,
        names: Sequence[str] | None = None,
    ):
        self._vectors = checked_vectors(vectors)
        self._metric = checked_metric(metric)
        label = labeller(names, len(self._vectors))
        if isinstance(temperature, str) and temperature.startswith(AUTO_PREFIX):
            raise InputError(
                f"temperature {temperature!r} needs the whole S, which SimilarityRows never has: "
                f"give a number, such as resolve_temperature finds for a sample of the classes"
            )
        self._temperature, _ = parse_temperature(temperature, len(self._vectors))
        if metric == "cosine":
            refuse_zero(self._vectors, label)

    def rows(self, labels: Tensor) -> Tensor:
        """The soft targets of a batch.

        Args:
            labels: ``[N]`` int64 or int32 class indices on any device. Where some are an
                ``ignore_index``, give ``labels.clamp(min=0)``: the loss does not use those rows.

        Returns:
            ``[N, C]`` float32 on the vectors' device; rows sum to 1; no gradient flows through.

        Raises:
            InputError: For labels that are no integers, not 1-d or not in [0, C). Looking at
                their values waits for a GPU.
        """
        labels = self._checked_labels(labels)
        with torch.no_grad():
            wanted = self._points(labels)
            result = wanted.new_empty(len(labels), len(self._vectors), dtype=torch.float32)
            sums = wanted.new_zeros(len(labels), 1)
            for chunk in self._chunks(len(labels)):
                # The row's largest term is exp(0), of the class itself: nothing overflows.
                terms = self._distances(wanted, self._points(chunk)).div_(-self._temperature).exp_()
                sums += terms.sum(dim=1, keepdim=True)
                result[:, chunk] = terms
            # float64 sums would make a float64 copy of the result.
            return result.div_(sums.float())

    def _chunks(self, row_count: int) -> Iterator[slice]:
        count, width = self._vectors.shape
        step = max(1, _CHUNK_NUMBERS // max(width, row_count))
        return (slice(start, start + step) for start in range(0, count, step))

    def _points(self, index: Tensor | slice) -> Tensor:
        points = self._vectors[index].double()
        return unit_vectors(points) if self._metric == "cosine" else points

    def _distances(self, some: Tensor, others: Tensor) -> Tensor:
        distances = _euclidean(some, others)
        if self._metric == "cosine":
            return distances.square_().div_(2)  # as in distance_matrix
        return distances

    def _checked_labels(self, labels: Tensor) -> Tensor:
        count = len(self._vectors)
        if not isinstance(labels, Tensor) or labels.dtype not in (torch.int64, torch.int32):
            got = labels.dtype if isinstance(labels, Tensor) else type(labels).__name__
            raise InputError(f"labels must be an int64 or int32 tensor, got {got}")
        if labels.dim() != 1:
            raise InputError(f"labels must have shape [N], got {list(labels.shape)}")
        outside = labels[(labels < 0) | (labels >= count)]
        if len(outside):
            raise InputError(f"labels must lie in 0..{count - 1}, got {int(outside[0])}")
        return labels.to(self._vectors.device)


def _euclidean(some: Tensor, others: Tensor) -> Tensor:
    """``[n, m]`` distances of float64 ``[n, D]`` and ``[m, D]``, to some twelve digits."""
    lengths = torch.linalg.vecdot(some, some)[:, None] + torch.linalg.vecdot(others, others)
    squares = torch.addmm(lengths, some, others.T, alpha=-2)
    close = squares < _CANCELS_BELOW * lengths
    distances = squares.clamp_(min=0).sqrt_()
    if close.any():  # far quicker than an empty nonzero
        row, column = close.nonzero(as_tuple=True)
        step = max(1, _CHUNK_NUMBERS // some.shape[1])
        for i, j in zip(row.split(step), column.split(step), strict=True):
            distances[i, j] = (some[i] - others[j]).norm(dim=1)
    return distances
