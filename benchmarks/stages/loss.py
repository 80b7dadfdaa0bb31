"""Stage: the benchmark of the losses."""

from benchmarks.stages.measurement import measured
from benchmarks.stages.stage import Context, Outcome, Stage


def run(context: Context) -> Outcome:
    """Run `python -m benchmarks.loss`."""
    return measured(context, "benchmarks.loss")


STAGE = Stage("loss", lambda c: 15 if c.tiny else 120, run)
