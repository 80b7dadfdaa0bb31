"""The learning rate and the weight of the soft-target term over a run."""

import math
from collections.abc import Callable

DROPS = ((0.5, 0.1), (0.75, 0.01))  # (share of the run that is done, factor from there on)


def learning_rate(base: float, epoch: int, epochs: int) -> float:
    """The paper's schedule: base, a tenth of it from 50 % of the run on, a hundredth from 75 %.

    The rate changes between epochs, never within one: at the first that begins at or after the
    point, as in the MultiStepLR of the paper's lineage.

    Args:
        base: the rate of the first epoch (paper: 0.1).
        epoch: the epoch about to begin, from 0.
        epochs: how many the whole run has.
    """
    factor = 1.0
    for share, drop in DROPS:
        if epoch >= share * epochs:
            factor = drop
    return base * factor


SOFT_WEIGHT_SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda done: 1.0,
    "linear": lambda done: 1.0 - done,
    "cosine": lambda done: 0.5 * (1.0 + math.cos(math.pi * done)),
}


def soft_weights(base: float, schedule: str, epochs: int) -> list[float]:
    """The weight of the soft-target term in each epoch.

    Constant in the paper. The others fall from base in the first epoch to 0 in the last; like the
    learning rate, the weight changes between epochs only. A run of one epoch has base.

    Args:
        base: the weight of the first epoch.
        schedule: a name in SOFT_WEIGHT_SCHEDULES.
        epochs: how many the whole run has.
    """
    factor = SOFT_WEIGHT_SCHEDULES[schedule]
    return [base * factor(epoch / max(1, epochs - 1)) for epoch in range(epochs)]
