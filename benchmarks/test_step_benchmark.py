"""The step's benchmark for pytest-benchmark: its statistics, comparisons and JSON.

pytest benchmarks/test_step_benchmark.py --benchmark-only -k 'resnet32 and 128'
"""

import functools

import pytest
import torch

from benchmarks.images import IMAGES, SIZE, random_dataset
from benchmarks.playback import CLOCK, play
from benchmarks.step import LIMITS, NOT_BY_ITSELF_ON_A_CPU, measure
from benchmarks.step_contenders import CONTENDERS, Case

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
ON_A_GPU = DEVICE.type == "cuda"
MODELS, BATCH_SIZES = ("resnet32", "resnet110"), (128, 512, 1024)
NAMES = [name for name in CONTENDERS if ON_A_GPU or name not in NOT_BY_ITSELF_ON_A_CPU]


@functools.lru_cache(maxsize=1)
def measured(model: str, batch_size: int) -> tuple[dict[str, dict], dict[str, str]]:
    """Rows of a case by contender, and who is absent."""
    contenders = [CONTENDERS[name] for name in NAMES]
    case = Case(model, batch_size, DEVICE)
    rows, absent = measure(case, random_dataset(IMAGES, SIZE), contenders, LIMITS)
    return {row["step"]: row for row in rows}, absent


# The order of the parameters keeps the contenders of a case together.
@pytest.mark.benchmark(timer=CLOCK)
@pytest.mark.parametrize("step", NAMES)
@pytest.mark.parametrize("batch_size", BATCH_SIZES)
@pytest.mark.parametrize("model", MODELS)
def test_step(benchmark, model, batch_size, step):
    rows, absent = measured(model, batch_size)
    if step in absent:
        pytest.skip(absent[step])
    more = dict(rows[step])
    samples = [ms / 1e3 for ms in more.pop("samples_ms")]
    play(benchmark, f"{model}, batch {batch_size}", samples, more["ms"]["median"] / 1e3, more)
