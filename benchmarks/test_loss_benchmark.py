"""The loss benchmark for pytest-benchmark: its statistics, comparisons and JSON.

pytest benchmarks --benchmark-only -k 'float32 and 128x10'
"""

import functools

import pytest
import torch

from benchmarks.loss import BANDWIDTH_SHAPES, DTYPES, LIMITS, TRAINING_SHAPES
from benchmarks.loss_contenders import CONTENDERS, WORKLOADS
from benchmarks.loss_inputs import Case
from benchmarks.loss_measure import measure
from benchmarks.playback import CLOCK, play

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
SHAPES = TRAINING_SHAPES + (BANDWIDTH_SHAPES if DEVICE.type == "cuda" else ())


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
    more = {key: value for key, value in rows[contender].items() if key not in ("call", "device")}
    samples = [us / 1e6 for us in clock["samples_us"]]
    group = f"{workload}, {dtype}, {shape[0]} x {shape[1]}"
    play(benchmark, group, samples, clock["us"]["median"] / 1e6, more)
