"""What several seeds say: means, spreads and paired differences."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ffdwv_fast.engine.seeds import statistics_of

CONFIDENCE = 0.95


class Sample(NamedTuple):
    """Values of several seeds.

    Attributes:
        mean: of the values.
        sd: standard deviation with n - 1; None for one value.
        n: how many.
    """

    mean: float
    sd: float | None
    n: int


class PairedDifference(NamedTuple):
    """The mean of the differences between two arms on the seeds that both have.

    Attributes:
        mean: of first minus second.
        sd: of the differences, with n - 1; None for one pair.
        n: how many pairs.
        low: lower end of the confidence interval of the mean; None for one pair.
        high: its upper end.
    """

    mean: float
    sd: float | None
    n: int
    low: float | None
    high: float | None


def sample(values: Sequence[float]) -> Sample | None:
    """Mean, standard deviation and n; None for no values."""
    return Sample(**statistics_of(values)) if values else None


def paired_difference(
    first: Mapping[int, float], second: Mapping[int, float], confidence: float = CONFIDENCE
) -> PairedDifference | None:
    """First minus second, seed by seed, with Student's t interval of the mean difference.

    Runs of one seed share the initial weights and the order of the images, so that what the seed
    does to both cancels. The interval takes the differences for a normal sample.

    Args:
        first: value by seed.
        second: value by seed.
        confidence: of the interval.

    Returns:
        None where no seed is in both.
    """
    both = sample([first[seed] - second[seed] for seed in sorted(first.keys() & second.keys())])
    if both is None:
        return None
    if both.sd is None:
        return PairedDifference(*both, None, None)
    from scipy.special import stdtrit

    quantile = float(stdtrit(both.n - 1, 0.5 + confidence / 2))
    reach = quantile * both.sd / math.sqrt(both.n)
    return PairedDifference(*both, both.mean - reach, both.mean + reach)
