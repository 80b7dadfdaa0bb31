"""The learning rate over a run."""

DROPS = ((0.5, 0.1), (0.75, 0.01))  # (share of the run that is done, factor from there on)


def learning_rate(base: float, step: int, total_steps: int) -> float:
    """The paper's schedule: base, a tenth of it from 50 % of the run on, a hundredth from 75 %.

    Counted in steps, so that a run of three epochs drops where one of 300 does.

    Args:
        base: the rate of the first step (paper: 0.1).
        step: the step about to be taken, from 0.
        total_steps: the steps of the whole run.
    """
    factor = 1.0
    for share, drop in DROPS:
        if step >= share * total_steps:
            factor = drop
    return base * factor
