"""Samples of our own timing, played back to pytest-benchmark: its statistics, comparisons, JSON.

pytest-benchmark would time one contender after the other. Here the first test of a case times all
of them in turn, by the rules of benchmarks/README.md, and each test plays its own samples back.
"""

from collections.abc import Mapping, Sequence

import pytest


class PlaybackClock:
    """A clock that advances by the recorded samples."""

    def __init__(self):
        self._now = 0.0

    def __call__(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += seconds


CLOCK = PlaybackClock()


def play(
    benchmark, group: str, samples: Sequence[float], median: float, more: Mapping[str, object]
) -> None:
    """Give pytest-benchmark's fixture the samples of one contender.

    Args:
        benchmark: the fixture, of a test marked with `pytest.mark.benchmark(timer=CLOCK)`.
        group: what the contender is compared with.
        samples: in seconds.
        median: of the samples, as our own table has it; checked.
        more: what else is to be in the JSON.
    """
    benchmark.group = group
    benchmark.extra_info.update(more)
    rest = iter(samples)
    benchmark.pedantic(lambda: CLOCK.advance(next(rest)), rounds=len(samples))
    assert benchmark.stats.stats.median == pytest.approx(median, rel=1e-3)
