"""Stage: the benchmark of the training step."""

from benchmarks.stages.measurement import measured
from benchmarks.stages.stage import Context, Outcome, Stage


def run(context: Context) -> Outcome:
    """Run `python -m benchmarks.step` at the sizes that a GPU is for."""
    sizes = ("--models", "resnet32,resnet110", "--batch-sizes", "128,512,1024")
    return measured(context, "benchmarks.step", *sizes)


STAGE = Stage("step", lambda c: 40 if c.tiny else 240, run)
