"""Makes the runs that are missing, by the training command in processes of its own."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from tqdm import tqdm

from ffdwv_fast.reproduce.plans import Arm

POLL_SECONDS = 0.2
PR_SET_PDEATHSIG = 1  # linux/prctl.h


class Job(NamedTuple):
    """Seeds of an arm that one process trains.

    Attributes:
        arm: which.
        seeds: the missing ones.
        options: of the training command, but for seeds and folder.
        name: of its folder, which all seeds share, and of its log.
    """

    arm: Arm
    seeds: tuple[int, ...]
    options: tuple[str, ...]
    name: str


class Workshop:
    """The folder in which runs are made; one process at a time may.

    Args:
        output: holds runs/, teachers/ and logs/, which are made.
        jobs: how many runs go on at once.
        estimate: seconds that a run of an arm takes; None where that is not known.
        done: whether a run of an arm and seed has ended; a teacher trained meanwhile is such a run.
        seconds: time budget: no run begins that would not end within; None for no limit.

    Attributes:
        failed: the jobs whose process failed.
        left: the jobs, or parts, for which there was no time.
    """

    def __init__(
        self,
        output: Path,
        jobs: int,
        estimate: Callable[[Arm], float | None],
        done: Callable[[Arm, int], bool],
        seconds: float | None = None,
    ):
        self._output = output
        self._jobs = jobs
        self._estimate = estimate
        self._done = done
        self._end = None if seconds is None else time.monotonic() + seconds
        self._active: dict[subprocess.Popen, tuple[Job, float]] = {}
        self._waiting: list[Job] = []
        self._spent: list[float] = []  # seconds of a run, of each job that has ended
        self.failed: list[Job] = []
        self.left: list[Job] = []

    def work(self, queue: Sequence[Job]) -> None:
        """Train what is queued, in that order; what was begun earlier is gone on with."""
        waiting, total = self._waiting, len(queue)
        waiting[:] = queue
        try:
            while waiting or self._active:
                while (place := self._startable(waiting)) is not None:
                    job, rest = self._affordable(self._still_missing(waiting.pop(place)))
                    if job is not None and job.seeds:
                        self._start(job, total - len(waiting), total)
                    if rest is not None:
                        (self.left if job is None else waiting).insert(0, rest)
                        total += job is not None
                time.sleep(POLL_SECONDS)
                self._collect()
        finally:
            for process in self._active:
                process.kill()
                process.wait()

    def _startable(self, waiting: Sequence[Job]) -> int | None:
        """The place of the first job that may begin: a folder has one process at a time."""
        if len(self._active) >= self._jobs:
            return None
        busy = {job.name for job, _ in self._active.values()}
        return next((i for i, job in enumerate(waiting) if job.name not in busy), None)

    def _still_missing(self, job: Job) -> Job:
        return job._replace(seeds=tuple(s for s in job.seeds if not self._done(job.arm, s)))

    def _affordable(self, job: Job) -> tuple[Job | None, Job | None]:
        """The part of a job that fits into the budget, and the rest of it."""
        if self._end is None:
            return job, None
        left, seconds = self._end - time.monotonic(), self._estimate(job.arm)
        count = int(left > 0) if seconds is None else int(max(0.0, left) // seconds)
        if count >= len(job.seeds):
            return job, None
        first = job._replace(seeds=job.seeds[:count]) if count else None
        return first, job._replace(seeds=job.seeds[count:])

    def _start(self, job: Job, number: int, total: int) -> None:
        seeds = ",".join(map(str, job.seeds))
        name = f"{job.name}-seeds{seeds.replace(',', '-')}"
        log = self._output / "logs" / f"{name}.log"
        log.parent.mkdir(exist_ok=True)
        command = [sys.executable, "-m", "ffdwv_fast.train", *job.options, "--seeds", seeds]
        command += ["--out", str(self._output / "runs" / job.name)]
        threads = {"OMP_NUM_THREADS": str(max(1, available_cores() // self._jobs))}
        print(f"[{number}/{total}] {job.arm.label}, seeds {seeds}: see {log}", flush=True)
        with log.open("wb") as stream:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env={**threads, **os.environ},
                preexec_fn=_die_with_parent,
            )
        self._active[process] = (job, time.monotonic())

    def _collect(self) -> None:
        for process in [p for p in self._active if p.poll() is not None]:
            job, start = self._active.pop(process)
            if process.returncode:
                how = f"FAILED with status {process.returncode}, its log says why"
                self.failed.append(job)
            else:
                seconds = time.monotonic() - start
                self._spent.append(seconds / len(job.seeds))
                how = f"{seconds:.0f} s, {self._left()}"
            print(f"  {job.arm.label}, seeds {','.join(map(str, job.seeds))}: {how}", flush=True)

    def _left(self) -> str:
        """How many runs are left, and about how long they take."""
        now = time.monotonic()
        jobs = [(job, 0.0) for job in self._waiting]
        jobs += [(job, now - start) for job, start in self._active.values()]
        mean = fmean(self._spent)
        needed = sum(
            max(0.0, len(job.seeds) * (self._estimate(job.arm) or mean) - spent)
            for job, spent in jobs
        )
        runs = sum(len(job.seeds) for job, _ in jobs)
        return f"{runs} runs left, ETA {tqdm.format_interval(needed / self._jobs)}"


def available_cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0))


_LIBC = ctypes.CDLL(None)


def _die_with_parent() -> None:
    # Else a run would go on in a folder in which the next start goes on with it.
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
