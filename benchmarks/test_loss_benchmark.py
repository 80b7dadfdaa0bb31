"""The loss benchmark for pytest-benchmark: its statistics, comparisons and JSON.

    pytest benchmarks --benchmark-only -k 'float32 and 128x10'

pytest-benchmark would time one contender after the other. Here the first test of a case times all
of them in turn, by the rules of benchmarks/README.md, and each test plays its own samples back.
"""

import functools

import pytest
import torch

from benchmarks.loss import BANDWIDTH_SHAPES, DTYPES, LIMITS, TRAINING_SHAPES
from benchmarks.loss_contenders import CONTENDERS, WORKLOADS
from benchmarks.loss_inputs import Case
from benchmarks.loss_measure import measure

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
SHAPES = TRAINING_SHAPES + (BANDWIDTH_SHAPES if DEVICE.type == "cuda" else ())


class PlaybackClock:
    """A clock that advances by the recorded samples."""

    def __init__(self):
        self._now = 0.0

    def __call__(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += seconds


CLOCK = PlaybackClock()


@functools.lru_cache(maxsize=1)
def measured(case: Case) -> tuple[dict[str, dict], dict[str, str]]:
    """Rows of a case by contender, and who is absent."""
    rows, absent = measure(case, LIMITS)
    return {row["contender"]: row for row in rows}, absent


# The order of the parameters keeps the contenders of a case together.
@pytest.mark.benchmark(timer=CLOCK)
@pytest.mark.parametrize(
    ("workload", "contender"),
    [(workload, c.name) for workload in WORKLOADS for c in CONTENDERS if workload in c.workloads],
)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape[0]}x{shape[1]}")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_loss(benchmark, dtype, shape, workload, contender):
    rows, absent = measured(Case(workload, DTYPES[dtype], *shape, DEVICE))
    if contender in absent:
        pytest.skip(absent[contender])
    clock = rows[contender].get("device", rows[contender]["call"])
    benchmark.group = f"{workload}, {dtype}, {shape[0]} x {shape[1]}"
    benchmark.extra_info.update(
        {key: value for key, value in rows[contender].items() if key not in ("call", "device")}
    )
    samples = iter([us / 1e6 for us in clock["samples_us"]])
    benchmark.pedantic(lambda: CLOCK.advance(next(samples)), rounds=clock["rounds"])
    assert benchmark.stats.stats.median == pytest.approx(clock["us"]["median"] / 1e6, rel=1e-3)
