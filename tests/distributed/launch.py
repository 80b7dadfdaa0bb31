"""Processes under torchrun."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone")
DEADLINE = 300.0  # seconds


def start(processes: int, *arguments: str, max_restarts: int = 0) -> subprocess.Popen:
    """torchrun in the repository's root, its output in pipes; arguments begin with -m MODULE."""
    counts = ("--nproc-per-node", str(processes), "--max-restarts", str(max_restarts))
    return subprocess.Popen(
        [*TORCHRUN, *counts, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def finish(launcher: subprocess.Popen) -> tuple[int, str, str]:
    """Exit status, stdout and stderr; a process that does not end is killed."""
    try:
        out, err = launcher.communicate(timeout=DEADLINE)
    except subprocess.TimeoutExpired:
        for pid in [*workers(launcher), launcher.pid]:
            os.kill(pid, signal.SIGKILL)
        raise
    return launcher.returncode, out, err


def workers(launcher: subprocess.Popen) -> list[int]:
    """The processes that torchrun has started and that run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
        except OSError:  # it has ended
            continue
        if int(parent) == launcher.pid and state != "Z":
            found.append(int(stat.parent.name))
    return sorted(found)


def epochs_in(folder: Path) -> int:
    """How many epochs a run has recorded."""
    try:
        return (folder / "metrics.jsonl").read_text().count("\n")
    except OSError:
        return 0


def wait_for_epochs(launcher: subprocess.Popen, folder: Path, epochs: int) -> None:
    """Wait until a run has recorded so many epochs, or has ended."""
    end = time.monotonic() + DEADLINE
    while launcher.poll() is None and epochs_in(folder) < epochs:
        assert time.monotonic() < end, f"{folder} has not got {epochs} epochs"
        time.sleep(0.02)


def train(folder: Path, options: Sequence[str]) -> tuple[str, ...]:
    """The training command's arguments for a run in a folder."""
    return ("-m", "ffdwv_fast.train", *options, "--out", str(folder))
