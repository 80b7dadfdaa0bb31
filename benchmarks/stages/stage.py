"""What a stage of the GPU suite is."""

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from benchmarks.processes import Finished, execute


@dataclass(frozen=True)
class Context:
    """What the suite tells a stage.

    Attributes:
        device: "cuda" or "cpu".
        tiny: run every line, measure nothing.
        say: prints one line of progress.
        deadline: of time.monotonic(); None without a time budget.
    """

    device: str
    tiny: bool
    say: Callable[[str], None]
    deadline: float | None = None

    @property
    def seconds_left(self) -> float | None:
        """Until the deadline; None without one."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())

    def execute(self, *command: str, env: Mapping[str, str] | None = None) -> Finished:
        """Run a program for as long as there is time."""
        return execute(command, timeout=self.seconds_left, say=self.say, env=env)

    def python(self, *arguments: str, env: Mapping[str, str] | None = None) -> Finished:
        """Run this Python in a process of its own, which loads what `build` has built."""
        return self.execute(sys.executable, *arguments, env=env)


@dataclass(frozen=True)
class Outcome:
    """What a stage found.

    Attributes:
        passed: whether all is as it should be.
        summary: one line.
        values: the numbers, for JSON.
        report: lines for people, printed when the stage ends.
        error: the end of a failed program's output.
    """

    passed: bool
    summary: str
    values: dict[str, object] = field(default_factory=dict)
    report: tuple[str, ...] = ()
    error: str = ""


class Stage(NamedTuple):
    """One line of the registry.

    Attributes:
        name: as `--stages` has it.
        minimum_seconds: what it needs at the least on the usual device and when tiny; with less
            left it is not started.
        run: does the work; raises nothing that is to be expected.
        stops_suite: whether a failure leaves nothing for the stages after it.
    """

    name: str
    minimum_seconds: Callable[[Context], float]
    run: Callable[[Context], Outcome]
    stops_suite: bool = False
