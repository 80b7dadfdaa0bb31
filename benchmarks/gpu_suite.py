"""python -m benchmarks.gpu_suite: all that is to be built, tested and measured on a GPU."""

import signal
import sys
import time
import traceback
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.hardware import ROOT, chosen_device, folder_name, header, header_lines
from benchmarks.results import table, write_json
from benchmarks.stages import STAGES
from benchmarks.stages.stage import Context, Outcome, Stage
from ffdwv_fast.command import ArgumentParser, positive_float, run_command
from ffdwv_fast.errors import InputError

_LINES_OF_AN_ERROR = 15  # on the terminal; the file has more


class Ended(NamedTuple):
    """A line of the table at the end."""

    stage: str
    status: str  # passed, failed, skipped or interrupted
    seconds: float
    summary: str


def parser() -> ArgumentParser:
    """The command's options."""
    p = ArgumentParser(prog="python -m benchmarks.gpu_suite", description=__doc__)
    p.add_argument(
        "--stages",
        default=",".join(STAGES),
        metavar="NAMES",
        help="which, separated by commas; they run in the order of the default",
    )
    p.add_argument(
        "--time-budget",
        type=positive_float,
        metavar="SECONDS",
        help="start no stage that does not fit in what is left, and stop one that overruns it",
    )
    p.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="what is measured")
    p.add_argument("--tiny", action="store_true", help="run every line, measure nothing")
    p.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="one JSON file per stage (default: benchmarks/results/DATE-GPUNAME)",
    )
    p.add_argument(
        "--commit", metavar="HASH", help="what is measured, where the tree is a copy without git"
    )
    return p


class Suite:
    """Runs stages and keeps what each of them found, as it ends.

    Args:
        options: as `parser` gives them.
        stages: to run, in this order.
    """

    def __init__(self, options: Namespace, stages: Sequence[Stage]):
        device = chosen_device(options.device)
        self._stages = stages
        self._start = time.monotonic()
        self._header = header(device, options.commit)
        self._output = options.output or ROOT / "benchmarks" / "results" / folder_name(device)
        budget = options.time_budget
        self._context = Context(
            device=options.device,
            tiny=options.tiny,
            say=self._say,
            deadline=None if budget is None else self._start + budget,
        )
        self._ended: list[Ended] = []

    def run(self) -> bool:
        """Run the stages; whether none failed. The table is printed whatever happens."""
        print("\n".join([*header_lines(self._header), f"results: {self._output}", ""]), flush=True)
        try:
            for stage in self._stages:
                self._run_or_skip(stage)
        finally:
            rows = [(e.stage, e.status, f"{e.seconds:.0f}", e.summary) for e in self._ended]
            print("\n".join(["", *table(("stage", "status", "s", ""), rows)]), flush=True)
        return all(ended.status != "failed" for ended in self._ended)

    def _run_or_skip(self, stage: Stage) -> None:
        reason = self._reason_to_skip(stage)
        if reason is None:
            self._run(stage)
            return
        self._say(f"{stage.name}: skipped, {reason}")
        self._ended.append(Ended(stage.name, "skipped", 0, reason))

    def _reason_to_skip(self, stage: Stage) -> str | None:
        for ended in self._ended:
            if ended.status == "failed" and STAGES[ended.stage].stops_suite:
                return f"{ended.stage} failed"
        left, needed = self._context.seconds_left, stage.minimum_seconds(self._context)
        if left is not None and left < needed:
            return f"it needs at least {needed:.0f} s, {left:.0f} s are left"
        return None

    def _run(self, stage: Stage) -> None:
        start = time.monotonic()
        try:
            self._say(f"{stage.name}: started")
            outcome = stage.run(self._context)
        except KeyboardInterrupt:
            seconds = time.monotonic() - start
            self._ended.append(Ended(stage.name, "interrupted", seconds, "no result"))
            raise
        except Exception as error:
            summary = f"{type(error).__name__}: {error}"
            outcome = Outcome(False, summary, error=traceback.format_exc())
        self._keep(stage, outcome, time.monotonic() - start)

    def _keep(self, stage: Stage, outcome: Outcome, seconds: float) -> None:
        status = "passed" if outcome.passed else "failed"
        content = {
            "header": self._header,
            "stage": stage.name,
            "status": status,
            "seconds": round(seconds, 1),
            "summary": outcome.summary,
            "result": outcome.values,
            "report": list(outcome.report),
            "error": outcome.error.splitlines(),
        }
        write_json(self._output / f"{stage.name}.json", content)
        self._ended.append(Ended(stage.name, status, seconds, outcome.summary))
        errors = outcome.error.splitlines()[-_LINES_OF_AN_ERROR:]
        self._say(f"{stage.name}: {status}, {outcome.summary}")
        print(*outcome.report, *(f"    {line}" for line in errors), sep="\n", flush=True)

    def _say(self, line: str) -> None:
        print(f"[{time.monotonic() - self._start:5.0f} s] {line}", flush=True)


def picked(names: str) -> list[Stage]:
    """The stages of `--stages`, in their own order.

    Raises:
        InputError: there is no stage of a name.
    """
    wanted = names.split(",")
    for name in wanted:
        if name not in STAGES:
            raise InputError(f"--stages {names}: no stage {name!r}; there are {', '.join(STAGES)}")
    return [stage for name, stage in STAGES.items() if name in wanted]


def main(argv: list[str] | None) -> None:
    """Run the command."""
    options = parser().parse_args(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # children must not outlive it
    if not Suite(options, picked(options.stages)).run():
        sys.exit(1)


if __name__ == "__main__":
    run_command(main)
