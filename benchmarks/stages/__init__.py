"""The stages of the GPU suite by name, in the order in which they run."""

from benchmarks.stages import build, cuda_tests, loader, loss, profile, sanitizer, step
from benchmarks.stages.stage import Stage

STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        build.STAGE,
        cuda_tests.STAGE,
        sanitizer.STAGE,
        loss.STAGE,
        step.STAGE,
        loader.STAGE,
        profile.STAGE,
    )
}
