"""The loaders' benchmark for pytest-benchmark: its statistics, comparisons and JSON.

pytest benchmarks/test_loader_benchmark.py --benchmark-only -k 'alone and 128'
"""

import functools
from statistics import median

import pytest
import torch

from benchmarks.images import IMAGES, SIZE, random_dataset
from benchmarks.loader import ALONE, LIMITS, REFERENCE, STATIC, WITH_STEP, Part, measure
from benchmarks.playback import CLOCK, play
from benchmarks.step_contenders import Case
from ffdwv_fast.data.loader import LOADERS

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
NAMES = {ALONE: (REFERENCE, *LOADERS), WITH_STEP: (STATIC, REFERENCE, *LOADERS)}


@functools.lru_cache(maxsize=1)
def measured(part: str, batch_size: int) -> tuple[dict[str, dict], dict[str, str]]:
    """Rows of a part by loader, and who is absent."""
    case = Case("resnet32", batch_size, DEVICE)
    rows, absent = measure(Part(part, case), random_dataset(IMAGES, SIZE), LIMITS)
    return {row["loader"]: row for row in rows}, absent


# The order of the parameters keeps the loaders of a part together.
@pytest.mark.benchmark(timer=CLOCK)
@pytest.mark.parametrize(
    ("part", "loader"), [(part, name) for part, names in NAMES.items() for name in names]
)
@pytest.mark.parametrize("batch_size", [128, 1024])
def test_loader(benchmark, batch_size, part, loader):
    rows, absent = measured(part, batch_size)
    if loader in absent:
        pytest.skip(absent[loader])
    more = dict(rows[loader])
    samples = more.pop("samples_s")
    play(benchmark, f"batch {batch_size}, {part}", samples, median(samples), more)
