"""Distances between class vectors and the soft-target matrix S (equations 6 and 7 of the paper)."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from ffdwv_fast.errors import InputError

METRICS = ("euclidean", "cosine")
AUTO_PREFIX = "auto:"

# Cosine distance that float32 rounding alone gives to parallel vectors stays below this.
_SAME_DIRECTION = 1e-13
_TEMPERATURE_HELP = (
    "expected a positive finite number or auto:M, where M is the wanted mean diagonal of S"
)


def distance_matrix(
    vectors: Tensor | np.ndarray,
    metric: str = "euclidean",
    *,
    names: Sequence[str] | None = None,
) -> Tensor:
    """Pairwise distances between class vectors (equation 6).

    Args:
        vectors: ``[C, D]``, any real dtype, finite, no two rows alike.
        metric: ``"euclidean"``, ``||w_i - w_j||_2``, or ``"cosine"``, ``1 - cos(w_i, w_j)``.
        names: The C class names, for error messages.

    Returns:
        ``[C, C]`` float64 on the CPU, symmetric, with an exact 0 on the diagonal.

    Raises:
        InputError: For vectors that are not 2-d, empty, not finite, zero (cosine) or alike, and
            for an unknown metric.
    """
    points = checked_vectors(vectors).to("cpu", torch.float64)
    label = labeller(names, len(points))
    if checked_metric(metric) == "cosine":
        refuse_zero(points, label)
        points = unit_vectors(points)
    # The default mode of cdist expands ||a - b||^2 and loses half the digits to cancellation.
    distances = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
    if metric == "cosine":
        # For unit vectors 1 - cos = ||u - v||^2 / 2, which is an exact 0 for equal vectors.
        distances = distances.square_().div_(2)
    if not distances.isfinite().all():
        raise InputError("the class vectors are too large: a distance is not a finite number")
    _refuse_equal(distances, metric, label)
    return distances


def similarity_matrix(
    vectors: Tensor | np.ndarray,
    metric: str = "euclidean",
    temperature: float | str = 1.0,
    *,
    names: Sequence[str] | None = None,
) -> Tensor:
    """Soft targets ``S_ij = exp(-d_ij / T) / sum_k exp(-d_ik / T)`` (equation 7).

    Row i is the soft target of class i: the axis that sums to 1 is the last one.

    Args:
        vectors: ``[C, D]``, any real dtype, finite, no two rows alike.
        metric: ``"euclidean"`` or ``"cosine"``, see :func:`distance_matrix`.
        temperature: A positive number, or ``"auto:M"`` for the T at which the mean of S's
            diagonal is M; M lies strictly between 1/C and 1.
        names: The C class names, for error messages.

    Returns:
        ``[C, C]`` float32 on the CPU, computed in float64; rows sum to 1.

    Raises:
        InputError: As :func:`distance_matrix`, and for a bad temperature.
    """
    distances = distance_matrix(vectors, metric, names=names)
    return similarity_from_distances(distances, resolve_temperature(distances, temperature))


def similarity_from_distances(distances: Tensor, temperature: float) -> Tensor:
    """S of equation 7 from ``[C, C]`` float64 distances; ``[C, C]`` float32, rows sum to 1."""
    return torch.softmax(distances / -temperature, dim=1).float()


def resolve_temperature(distances: Tensor, temperature: float | str) -> float:
    """The temperature as a number; ``"auto:M"`` is solved for.

    Args:
        distances: ``[C, C]`` float64 from :func:`distance_matrix`.
        temperature: A positive number, its decimal text, or ``"auto:M"``.

    Returns:
        T in the unit of the distances. For ``"auto:M"`` the mean diagonal of S at T is M to 1e-9.

    Raises:
        InputError: For a temperature that is neither, or an M that no T reaches.
    """
    number, target = parse_temperature(temperature, len(distances))
    return number if target is None else _solve_temperature(distances, target)


def parse_temperature(
    temperature: float | str, class_count: int
) -> tuple[float, None] | tuple[None, float]:
    """Split a temperature into ``(T, None)``, or ``(None, M)`` where it reads ``"auto:M"``."""
    automatic = isinstance(temperature, str) and temperature.startswith(AUTO_PREFIX)
    number = _number(temperature.removeprefix(AUTO_PREFIX) if automatic else temperature)
    if number is None:
        raise InputError(f"temperature {temperature!r} is not valid: {_TEMPERATURE_HELP}")
    if not automatic:
        if not (0 < number < math.inf):
            raise InputError(f"temperature {temperature!r} is out of range: {_TEMPERATURE_HELP}")
        return number, None
    if not (1 / class_count < number < 1):
        raise InputError(
            f"temperature {temperature!r} asks for a mean diagonal that no temperature gives: with "
            f"{class_count} classes it lies strictly between {1 / class_count:.6g} and 1"
        )
    return None, number


def _number(value: float | str) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _solve_temperature(distances: Tensor, target: float) -> float:
    """Bisect log T: the mean diagonal of S falls from 1 at T -> 0 to 1/C at T -> infinity."""
    off_diagonal = distances[~torch.eye(len(distances), dtype=torch.bool)]
    low = math.log(float(off_diagonal.min()) / 1000)  # exp(-1000) = 0: the mean is exactly 1
    high = math.log(float(off_diagonal.max()))
    while _mean_diagonal(distances, high) > target:
        high += 2.0
        if high > 600:  # exp(600) is near the end of float64
            raise InputError(f"no temperature gives the mean diagonal {target!r}: choose more")
    while high - low > 1e-13 * max(1.0, abs(high)):
        middle = (low + high) / 2
        mean = _mean_diagonal(distances, middle)
        if abs(mean - target) < 1e-13:
            return math.exp(middle)
        low, high = (middle, high) if mean > target else (low, middle)
    return math.exp((low + high) / 2)


def _mean_diagonal(distances: Tensor, log_temperature: float) -> float:
    # d_ii = 0, so the diagonal of S is the reciprocal of the row sum.
    row_sums = (distances / -math.exp(log_temperature)).exp_().sum(dim=1)
    return float(row_sums.reciprocal().mean())


def checked_metric(metric: str) -> str:
    """The metric; InputError where there is none of that name."""
    if metric not in METRICS:
        raise InputError(f"metric {metric!r} is unknown: choose one of {', '.join(METRICS)}")
    return metric


def checked_vectors(vectors: Tensor | np.ndarray) -> Tensor:
    """Class vectors as a tensor without gradient, in their dtype and on their device.

    Raises:
        InputError: For vectors that are not real, not 2-d, empty or not finite.
    """
    try:
        # Through numpy, because torch would read a list of Python numbers as float32.
        points = vectors if isinstance(vectors, Tensor) else torch.tensor(np.asarray(vectors))
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"class vectors must be a [C, D] array of numbers: {error}") from error
    if points.is_complex() or points.dtype == torch.bool:
        raise InputError(f"class vectors must be real numbers, got {points.dtype}")
    if points.dim() != 2:
        raise InputError(f"class vectors must have shape [C, D], got {list(points.shape)}")
    if 0 in points.shape:
        raise InputError(f"class vectors must hold at least one class, got {list(points.shape)}")
    points = points.detach()
    # The extremes of a million vectors take no memory beside, unlike isfinite.
    if points.is_floating_point() and not torch.stack(points.aminmax()).isfinite().all():
        bad = (~points.isfinite()).any(dim=1).nonzero()[:, 0].tolist()
        raise InputError(f"class vectors must be finite: rows {_some(bad)} are not")
    return points


def _some(rows: list[int]) -> str:
    return ", ".join(map(str, rows[:10])) + (", ..." if len(rows) > 10 else "")


def labeller(names: Sequence[str] | None, class_count: int) -> Callable[[int], str]:
    """How error messages call a class: by its name where there are names, else by its number."""
    if names is None:
        return str
    if len(names) != class_count:
        raise InputError(f"{len(names)} class names for {class_count} class vectors")
    return lambda index: f"{names[index]!r}"


def refuse_zero(points: Tensor, label: Callable[[int], str]) -> None:
    """Refuse ``[C, D]`` vectors of which one has no direction."""
    nonzero = points.count_nonzero(dim=1) > 0
    if not nonzero.all():
        zero = int((~nonzero).nonzero()[0])
        raise InputError(
            f"the vector of class {label(zero)} is zero and has no cosine: use metric 'euclidean'"
        )


def unit_vectors(points: Tensor) -> Tensor:
    """``[n, D]`` float64 vectors, none of them zero, divided by their lengths."""
    # Dividing by the largest entry first keeps the squares of very large or small vectors in range.
    largest = points.abs().amax(dim=1, keepdim=True)
    points = points / largest
    return points / points.norm(dim=1, keepdim=True)


def _refuse_equal(distances: Tensor, metric: str, label: Callable[[int], str]) -> None:
    tolerance, what = (0.0, "vector") if metric == "euclidean" else (_SAME_DIRECTION, "direction")
    equal = torch.triu(distances <= tolerance, diagonal=1)
    if equal.any():
        first, second = equal.nonzero()[0].tolist()
        raise InputError(
            f"classes {label(first)} and {label(second)} have the same {what}: "
            f"give one of them other words or another vector"
        )
