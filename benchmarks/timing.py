"""How everything here is timed: contenders in turn, round after round, on rotating inputs."""

import gc
import math
import os
import random
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")

SECONDS_PER_SAMPLE = 2e-3
FEWEST_ROUNDS = 11
QUIET = 0.05  # of the processors' time, taken by others
_SECONDS_PER_BLOCK = 0.2


class Spread(NamedTuple):
    """Median and quartiles."""

    median: float
    q1: float
    q3: float


def spread(values: Sequence[float]) -> Spread:
    """Median and quartiles of the values."""
    if len(values) == 1:
        return Spread(*values * 3)
    q1, median, q3 = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median, q1, q3)


def ratios(over: Sequence[float], of: Sequence[float]) -> list[float]:
    """How many times longer `over` took than `of`, round by round.

    Both samples of a round are milliseconds apart, so whatever slows the machine down for longer
    than that cancels; of two medians each may come from another phase.
    """
    return [a / b for a, b in zip(over, of, strict=True)]


class Rotation(Generic[T]):
    """Hands out sets of inputs in turn, so that each is last used a whole turn ago.

    All contenders take from the same one: what one has just read is not what the next one reads.
    """

    def __init__(self, sets: Sequence[T]):
        self._sets = sets
        self._next = 0

    def __len__(self) -> int:
        return len(self._sets)

    def take(self, count: int) -> list[T]:
        """The next `count` sets."""
        taken = [self._sets[(self._next + i) % len(self._sets)] for i in range(count)]
        self._next = (self._next + count) % len(self._sets)
        return taken


class CallTimer(Generic[T]):
    """Wall-clock seconds of a call; one sample is as many calls as fill 2 ms.

    Args:
        step: what is timed.
        rotation: its inputs.
        synchronize: waits for the device; called before and after a sample.

    Attributes:
        calls: in one sample.
    """

    def __init__(
        self,
        step: Callable[[T], object],
        rotation: Rotation[T],
        synchronize: Callable[[], None] = lambda: None,
    ):
        self._step = step
        self._rotation = rotation
        self._synchronize = synchronize
        self.calls = 1
        self.calls = self._calls_that_fill_a_sample()

    def sample(self) -> float:
        """Seconds of a call, the mean over one sample."""
        sets = self._rotation.take(self.calls)
        step = self._step
        self._synchronize()
        start = time.perf_counter()
        for inputs in sets:
            step(inputs)
        self._synchronize()
        return (time.perf_counter() - start) / len(sets)

    def _calls_that_fill_a_sample(self) -> int:
        seconds = min(self.sample() for _ in range(3))
        return min(max(1, math.ceil(SECONDS_PER_SAMPLE / seconds)), len(self._rotation))


class Limits(NamedTuple):
    """How much is measured.

    Attributes:
        rounds: at most.
        seconds: per case and clock; then no further round is begun.
        tiny: run every line, measure nothing.
    """

    rounds: int
    seconds: float
    tiny: bool = False


class Interleaved(NamedTuple):
    """What `interleave` gives.

    Attributes:
        samples: by name, one per round.
        others: share of the processors' time that other processes and, on a virtual machine, its
            neighbours took meanwhile; 0 where the system does not say.
        discarded: rounds left out because others took more than 5 %.
    """

    samples: dict[str, list[float]]
    others: float
    discarded: int


class _Block(NamedTuple):
    """Rounds of a fifth of a second: what /proc/stat, in ticks of 10 ms, can tell apart."""

    rounds: list[dict[str, float]]
    others: float


def interleave(
    samples: Mapping[str, Callable[[], float]], rounds: int, seconds: float, seed: int = 0
) -> Interleaved:
    """Sample all contenders once a round, in a new random order each time.

    A neighbour's load does not hit all contenders alike: every small parallel region of PyTorch's
    waits for a thread that may have lost its processor. Rounds during which others took more than
    5 % of the processors are therefore left out, as long as 11 quieter ones are found in time.

    Args:
        samples: gives the next sample of a contender, by name.
        rounds: how many quiet ones are wanted.
        seconds: no further round once so many have passed, but never fewer than 11 (or `rounds`).
        seed: of the order.
    """
    order = random.Random(seed)
    fewest = min(rounds, FEWEST_ROUNDS)
    blocks: list[_Block] = []
    end = time.perf_counter() + seconds
    with _without_gc():
        while _count(blocks) < fewest or time.perf_counter() < end:
            wanted = rounds - _count(b for b in blocks if b.others <= QUIET)
            if wanted <= 0:
                break
            blocks.append(_block(samples, wanted, order))
    return _quietest(blocks, fewest)


def _block(samples: Mapping[str, Callable[[], float]], most: int, order: random.Random) -> _Block:
    names, rounds = list(samples), []
    before, end = _processor_seconds(), time.perf_counter() + _SECONDS_PER_BLOCK
    while len(rounds) < most and (not rounds or time.perf_counter() < end):
        rounds.append({name: samples[name]() for name in order.sample(names, len(names))})
    return _Block(rounds, _taken_by_others(before, _processor_seconds()))


def _quietest(blocks: Sequence[_Block], fewest: int) -> Interleaved:
    used: list[_Block] = []
    for block in sorted(blocks, key=lambda b: b.others):
        if block.others > QUIET and _count(used) >= fewest:
            break
        used.append(block)
    rounds = [one for block in used for one in block.rounds]
    others = sum(block.others * len(block.rounds) for block in used) / len(rounds)
    samples = {name: [one[name] for one in rounds] for name in rounds[0]}
    return Interleaved(samples, others, _count(blocks) - len(rounds))


def _count(blocks: Iterable[_Block]) -> int:
    return sum(len(block.rounds) for block in blocks)


class _ProcessorSeconds(NamedTuple):
    """Since the start of the machine, summed over its processors."""

    busy: float
    all: float
    own: float


def _processor_seconds() -> _ProcessorSeconds | None:
    try:
        line = Path("/proc/stat").read_text().splitlines()[0]
    except OSError:
        return None
    ticks = [int(word) / os.sysconf("SC_CLK_TCK") for word in line.split()[1:9]]
    idle = ticks[3] + ticks[4]  # waiting for a disk included
    own = os.times()
    return _ProcessorSeconds(sum(ticks) - idle, sum(ticks), own.user + own.system)


def _taken_by_others(before: _ProcessorSeconds | None, after: _ProcessorSeconds | None) -> float:
    if before is None or after is None or after.all <= before.all:
        return 0.0
    others = (after.busy - before.busy) - (after.own - before.own)
    return max(0.0, others / (after.all - before.all))


@contextmanager
def _without_gc() -> Iterator[None]:
    gc.collect()
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
