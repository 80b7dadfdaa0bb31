"""Runs on handwritten digits that are killed at a random moment, each gone on with and compared.

    python -m tests.reliability.kill_points --points 100

Each is killed by SIGKILL after a random part of the time that a whole run takes, and started again
by the same command line. It counts if its weights are the bytes, and its metrics and summary the
numbers, of the run that nobody killed. For every second one a checkpoint is written after each
step, so that some are killed within one. Exit status: 0 all are equal, 1 not all, 2 bad arguments.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.reliability.left import left_by
from tests.reliability.zygote import Zygote

RUN = (
    *("--dataset", "digits", "--model", "resnet8", "--epochs", "4", "--train-limit", "200"),
    *("--batch-size", "32", "--loader", "torch", "--device", "cpu", "--evaluate-every", "4"),
)
EVERY_STEP = ("--checkpoint-minutes", "1e-9")
SECONDS_BETWEEN_LINES = 5


class Point(NamedTuple):
    """A run that was killed.

    Attributes:
        seconds: from its start until it was killed.
        found: what it had left: "nothing", "a checkpoint", "half a file" or "all results".
        equal: whether it ended as the run that nobody killed.
    """

    seconds: float
    found: str
    equal: bool


def kill_points(zygote: Zygote, points: int, seed: int, folder: Path) -> Iterator[Point]:
    """Kill runs at random moments and go on with them.

    Args:
        zygote: starts them.
        points: how many to kill.
        seed: of the moments.
        folder: for what they leave; that of a run that ended as it should is removed.
    """
    start = time.perf_counter()
    _finish(zygote, (), folder / "whole")
    duration = time.perf_counter() - start
    whole = left_by(folder / "whole")
    moments = random.Random(seed)
    done = 0
    while done < points:
        options = EVERY_STEP if done % 2 else ()
        out = folder / f"point{done}"
        seconds = moments.uniform(0, duration)
        if not _killed(zygote, options, out, seconds):  # it had ended before
            shutil.rmtree(out)
            continue
        found = _found(out)
        if found != "all results":
            _finish(zygote, options, out)
        equal = left_by(out) == whole
        if equal:
            shutil.rmtree(out)
        done += 1
        yield Point(seconds, found, equal)


def _killed(zygote: Zygote, options: tuple[str, ...], out: Path, seconds: float) -> bool:
    pid = zygote.start([*RUN, *options, "--out", str(out)], out.with_suffix(".log"))
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    return zygote.wait(pid) == -signal.SIGKILL


def _finish(zygote: Zygote, options: tuple[str, ...], out: Path) -> None:
    log = out.with_suffix(".log")
    status = zygote.run([*RUN, *options, "--out", str(out)], log)
    if status != 0:
        raise RuntimeError(f"{out} ended with status {status}: {log.read_text()}")


def _found(out: Path) -> str:
    if (out / "summary.json").exists():
        return "all results"
    if any(out.glob(".*.part")):
        return "half a file"
    return "a checkpoint" if any(out.glob("checkpoint*")) else "nothing"


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.reliability.kill_points", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--points", type=int, default=100, help="runs to kill (default: 100)")
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    args = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="kill-points-"))
    zygote = Zygote()
    found: Counter[str] = Counter()
    equal, start, last = 0, time.perf_counter(), 0.0
    try:
        for point in kill_points(zygote, args.points, args.seed, folder):
            found[point.found] += 1
            equal += point.equal
            done, now = found.total(), time.perf_counter()
            if now - last > SECONDS_BETWEEN_LINES or done == args.points:
                last = now
                each = (now - start) / done
                print(
                    f"{done}/{args.points} killed, {equal} equal, {each:.1f} s each, "
                    f"ETA {each * (args.points - done):.0f} s",
                    flush=True,
                )
    finally:
        zygote.close()
    print(f"killed when there was: {json.dumps(dict(found.most_common()))}")
    print(f"{equal} of {args.points} runs killed by SIGKILL ended bit-equal")
    if equal < args.points:
        print(f"those that did not: {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
