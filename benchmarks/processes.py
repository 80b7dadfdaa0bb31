"""Programs that a stage runs: found, given a time limit, and heard from while they run."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from benchmarks.hardware import ROOT

SECONDS_BETWEEN_SIGNS = 30
TAIL_LINES = 40

_CUDA = Path(os.environ.get("CUDA_HOME", "/usr/local/cuda")) / "bin"


class Finished(NamedTuple):
    """How a program ended.

    Attributes:
        status: its exit status; None where it ran out of time and was killed.
        output: all it printed.
        seconds: how long it took.
    """

    status: int | None
    output: str
    seconds: float

    @property
    def tail(self) -> str:
        """The last lines of the output."""
        return "\n".join(self.output.rstrip().splitlines()[-TAIL_LINES:])

    @property
    def ending(self) -> str:
        """How it ended, in words."""
        if self.status is None:
            return f"stopped after {self.seconds:.0f} s: no time left"
        return f"exit status {self.status}"


def find_tool(name: str) -> str | None:
    """A program's path: beside this Python, on PATH, or in the CUDA toolkit."""
    folders = [str(Path(sys.executable).parent), os.environ.get("PATH", ""), str(_CUDA)]
    return shutil.which(name, path=os.pathsep.join(folders))


def execute(
    command: Sequence[str],
    *,
    timeout: float | None,
    say: Callable[[str], None],
    env: Mapping[str, str] | None = None,
) -> Finished:
    """Run a program from the repository's root, with a sign of life now and then.

    Args:
        command: program and arguments.
        timeout: seconds; then it is killed together with what it started. None: no limit.
        say: prints one line of progress.
        env: variables set beside those of this process.
    """
    start = time.perf_counter()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )
        try:
            status = _wait(process, timeout, log, say)
        finally:
            _kill_group(process)
        return Finished(status, _read(log), time.perf_counter() - start)


def _wait(process, timeout: float | None, log: BinaryIO, say) -> int | None:
    end = float("inf") if timeout is None else time.monotonic() + timeout
    while (left := end - time.monotonic()) > 0:
        if _ends_within(min(left, SECONDS_BETWEEN_SIGNS), process):
            return process.returncode
        lines = _read(log).split("\n")
        say(next((line.strip()[:120] for line in reversed(lines) if line.strip()), "running"))
    return None


def _ends_within(seconds: float, process: subprocess.Popen) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _kill_group(process: subprocess.Popen) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    finally:
        process.wait()


def _read(log: BinaryIO) -> str:
    # By offset, since the program writes through the same open file.
    size = os.fstat(log.fileno()).st_size
    return os.pread(log.fileno(), size, 0).decode(errors="replace")
