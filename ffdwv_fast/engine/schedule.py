"""The learning rate over a run."""

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
