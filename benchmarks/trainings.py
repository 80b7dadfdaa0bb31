"""Trainings by the fast path and by the reference, each in a process of its own."""

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from benchmarks.hardware import ROOT
from ffdwv_fast.errors import InputError

REFERENCE, FAST = "reference", "fast"
ARMS = (REFERENCE, FAST)

SECONDS_BETWEEN_LOOKS = 0.2

_TEST_ERROR = re.compile(r"test error +([\d.]+) %")


class Configuration(NamedTuple):
    """What all runs have in common; two runs with another are not compared.

    Attributes:
        method: the loss.
        dataset: a name in DATASETS.
        model: a name in MODELS.
        epochs: passes over the training images; the rate drops at 50 % and at 75 %.
        images: training images, the same for both arms and all seeds.
        batch_size: images per step.
        lr: learning rate of the first epoch.
        weight_decay: of every parameter.
        device: "cpu" or "cuda".
        loader: of the fast path.
        amp: of the fast path; the reference computes in float32.
        torch: its version.
    """

    method: str
    dataset: str
    model: str
    epochs: int
    images: int
    batch_size: int
    lr: float
    weight_decay: float
    device: str
    loader: str
    amp: str
    torch: str


class Job(NamedTuple):
    """A run that is to be done."""

    arm: str
    seed: int


def command(job: Job, config: Configuration, data_dir: Path, out: Path) -> list[str]:
    """A run's command line, after `python`; both arms get the same recipe."""
    c = config
    recipe = {
        "--method": c.method,
        "--dataset": c.dataset,
        "--data-dir": data_dir,
        "--model": c.model,
        "--epochs": c.epochs,
        "--evaluate-every": c.epochs,
        "--batch-size": c.batch_size,
        "--lr": c.lr,
        "--weight-decay": c.weight_decay,
        "--device": c.device,
        "--seed": job.seed,
    }
    if job.arm == REFERENCE:
        program, own = ["-m", "benchmarks.reference_train"], {"--limit": c.images}
    else:
        program = ["-m", "ffdwv_fast.train"]
        own = {"--train-limit": c.images, "--loader": c.loader, "--amp": c.amp, "--out": out}
    options = [str(word) for pair in {**recipe, **own}.items() for word in pair]
    return [*program, *options]


class Training:
    """A run in a process of its own.

    Args:
        job: which.
        config: what all have in common.
        data_dir: where the data sets are.
        threads: of torch.
    """

    def __init__(self, job: Job, config: Configuration, data_dir: Path, threads: int):
        self.job = job
        self._start = time.perf_counter()
        with ExitStack() as stack:
            self._log = stack.enter_context(tempfile.TemporaryFile())
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="equivalence-"))
            out = Path(folder) / "run"
            self._process = subprocess.Popen(
                [sys.executable, *command(job, config, data_dir.resolve(), out)],
                cwd=ROOT,
                env={**os.environ, "OMP_NUM_THREADS": str(threads)},
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=subprocess.STDOUT,
            )
            stack.callback(self._end_process)
            self._stack = stack.pop_all()

    @property
    def seconds(self) -> float:
        """Since its start."""
        return time.perf_counter() - self._start

    def result(self) -> dict[str, object] | None:
        """What the run has come to; None while it goes on.

        Raises:
            InputError: it failed.
        """
        if self._process.poll() is None:
            return None
        self._log.seek(0)
        output = self._log.read().decode(errors="replace")
        errors = _TEST_ERROR.findall(output)
        if self._process.returncode or not errors:
            last = (output.strip().splitlines() or ["no output"])[-1].removeprefix("error: ")
            raise InputError(f"the {self.job.arm} run of seed {self.job.seed} failed: {last}")
        seconds = round(self.seconds, 1)
        return {**self.job._asdict(), "test_error": float(errors[-1]), "seconds": seconds}

    def close(self) -> None:
        """End the process, if it has not, and remove what it left."""
        self._stack.close()

    def _end_process(self) -> None:
        self._process.terminate()
        self._process.wait()


def run_jobs(
    jobs: Sequence[Job],
    at_once: int,
    start: Callable[[Job], Training],
    keep: Callable[[dict[str, object], list[Job], list[Training]], None],
) -> None:
    """Do the runs, several at once.

    Args:
        jobs: in the order in which they start.
        at_once: how many.
        start: begins a run.
        keep: gets a run's result as it ends, the jobs that wait and the runs that go on.

    Raises:
        InputError: a run failed; the others are ended.
    """
    waiting, running = list(jobs), []
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                running.append(start(waiting.pop(0)))
            time.sleep(SECONDS_BETWEEN_LOOKS)
            for one in list(running):
                if (result := one.result()) is not None:
                    running.remove(one)
                    one.close()
                    keep(result, waiting, running)
    finally:
        for one in running:
            one.close()


def seconds_left(
    runs: Sequence[dict[str, object]],
    waiting: Sequence[Job],
    running: Sequence[Training],
    at_once: int,
) -> float:
    """An estimate from the mean time of the runs of each arm that have ended."""
    seconds = {arm: [run["seconds"] for run in runs if run["arm"] == arm] for arm in ARMS}
    of_any = [run["seconds"] for run in runs]
    expected = {arm: statistics.fmean(seconds[arm] or of_any) for arm in ARMS}
    left = sum(expected[job.arm] for job in waiting)
    left += sum(max(0.0, expected[one.job.arm] - one.seconds) for one in running)
    return left / at_once
