"""Stage: the profile of a training step."""

from benchmarks.stages.measurement import measured
from benchmarks.stages.stage import Context, Outcome, Stage


def run(context: Context) -> Outcome:
    """Run `python -m benchmarks.step_profile` where launches count, and where memory does."""
    sizes = ("--models", "resnet32,resnet110", "--batch-sizes", "128,1024")
    return measured(context, "benchmarks.step_profile", *sizes)


STAGE = Stage("profile", lambda c: 20 if c.tiny else 60, run)
