"""What is held against a reader, input by input, and the figures of a campaign."""

import gc
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ffdwv_fast.errors import InputError
from tests.fuzz.target import Target, expect

PAGE = os.sysconf("SC_PAGE_SIZE")
# What the fuzzer itself keeps, its corpus above all, stays below.
MOST_GROWTH_MB = 64
_REPORT_EVERY_SECONDS = 1.0
_WARM_UP = 0.1  # of a campaign: caches, imports and most of the corpus come at its beginning


class HangError(BaseException):
    """An input took too long; no Exception, which a reader might take for a damaged file."""


class Budget(NamedTuple):
    """When a campaign ends, and when an input has taken too long.

    Attributes:
        inputs: it ends after so many,
        seconds: or so long.
        hang_seconds: most processor time of one input. Not of the clock: where others work too, a
            process may be left waiting for seconds.
    """

    inputs: int
    seconds: float
    hang_seconds: int


class Judge:
    """Called with every input; ends the process when the budget is spent.

    Args:
        target: the reader.
        budget: of the campaign.
        report: takes the number of inputs so far, the seconds and the growth of memory in MB.
        save: takes an input at fault; one that ends the process is the fuzzer's to save.
    """

    def __init__(
        self,
        target: Target,
        budget: Budget,
        report: Callable[[int, float, float], None],
        save: Callable[[bytes], None],
    ):
        self._target, self._budget, self._report, self._save = target, budget, report, save
        self._inputs = 0
        signal.signal(signal.SIGPROF, _hangs)
        self._begin = self._reported = time.monotonic()
        self._warm_mb: float | None = None

    def __call__(self, data: bytes) -> None:
        try:
            signal.setitimer(signal.ITIMER_PROF, self._budget.hang_seconds)
            judge(self._target, data)
            signal.setitimer(signal.ITIMER_PROF, 0)
        except BaseException:
            signal.setitimer(signal.ITIMER_PROF, 0)
            self._save(data)
            self._report(self._inputs + 1, time.monotonic() - self._begin, 0.0)
            raise
        self._inputs += 1
        now = time.monotonic()
        spent = max(self._inputs / self._budget.inputs, (now - self._begin) / self._budget.seconds)
        if self._warm_mb is None and spent >= _WARM_UP:
            self._warm_mb = resident_mb()
        if spent >= 1:
            self._finish(now)
        if now - self._reported >= _REPORT_EVERY_SECONDS:
            self._reported = now
            self._report(self._inputs, now - self._begin, 0.0)

    def _finish(self, now: float) -> None:
        growth = resident_mb() - self._warm_mb
        self._report(self._inputs, now - self._begin, growth)
        expect(growth <= MOST_GROWTH_MB, f"memory grew by {growth:.0f} MB")
        os._exit(0)  # the fuzzer knows no other way to end early and well


def _hangs(*_: object) -> None:
    raise HangError


def judge(target: Target, data: bytes) -> None:
    """Read one input: raises what a reader must not raise, and what it raises wrongly."""
    try:
        target.check(data)
    except InputError as error:
        expect(str(error).isprintable(), f"the message is not one line of text: {error!r}")
        # A subclass is numpy's, whose arrays take no memory before they are filled.
        wants_memory = type(error.__cause__) is MemoryError
        expect(not wants_memory, "it asked for more memory than there is")


def resident_mb() -> float:
    """Memory of this process in MB, after a collection of garbage."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / 1e6
