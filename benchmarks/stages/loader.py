"""Stage: the benchmark of the loaders, alone and with the training step."""

from benchmarks.stages.measurement import measured
from benchmarks.stages.stage import Context, Outcome, Stage


def run(context: Context) -> Outcome:
    """Run `python -m benchmarks.loader` at the sizes that a GPU is for."""
    return measured(context, "benchmarks.loader", "--batch-sizes", "128,1024")


STAGE = Stage("loader", lambda c: 30 if c.tiny else 120, run)
