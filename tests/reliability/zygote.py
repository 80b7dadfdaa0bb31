"""Training commands in processes of their own, without the seconds that their imports take.

A first process imports all that a run needs and then forks one for each command, before it has any
thread and before torch has computed anything.
"""

import io
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class Zygote:
    """Starts `python -m ffdwv_fast.train` in milliseconds; to be closed."""

    def __init__(self):
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **THREADS},
        )
        self._answer()  # when the imports are done

    def start(self, argv: Sequence[str], log: Path, before: str = "") -> int:
        """Start the command and return its process id; to be waited for.

        Args:
            argv: its arguments.
            log: gets what it prints, errors too; made anew.
            before: Python code that the process executes first.
        """
        return self._ask("start", list(argv), str(log), before)

    def wait(self, pid: int) -> int:
        """The exit status of a process once it has ended; that of one killed is -signal."""
        return self._ask("wait", pid)

    def run(self, argv: Sequence[str], log: Path) -> int:
        """Start the command and wait for it."""
        return self.wait(self.start(argv, log))

    def close(self) -> None:
        """End the first process; those that are still running go on."""
        self._process.stdin.close()
        self._process.wait()

    def _ask(self, *question: object) -> int:
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> int:
        return json.loads(self._process.stdout.readline())


def _import_all() -> None:
    """Whatever a run imports on its way."""
    import torch

    import ffdwv_fast.train  # noqa: F401
    from ffdwv_fast.data.digits import load_digits
    from ffdwv_fast.engine.curves import draw_curves
    from ffdwv_fast.engine.trainer import EpochRecord

    load_digits()
    draw_curves([EpochRecord(1, 0.1, 1.0, 1.0, None, 1.0, 1.0, 1.0)], "", io.BytesIO())
    torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))])


def _serve() -> None:
    _import_all()
    _tell(0)
    for line in sys.stdin:
        what, *rest = json.loads(line)
        if what == "start":
            _refuse_threads()
            pid = os.fork()
            if pid == 0:
                _become(*rest)
            _tell(pid)
        else:
            _tell(os.waitstatus_to_exitcode(os.waitpid(rest[0], 0)[1]))


def _refuse_threads() -> None:
    """A fork would not have them, and what waits for one of them would wait for ever."""
    threads = len(os.listdir("/proc/self/task"))
    if threads > 1:
        raise RuntimeError(f"{threads} threads: nothing can be forked")


def _tell(answer: int) -> None:
    print(answer, flush=True)


def _become(argv: list[str], log: str, before: str) -> None:
    """Be the command from here on; does not return."""
    from ffdwv_fast import train
    from ffdwv_fast.command import run_command

    status = 1
    try:
        os.setsid()
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(file, stream)
        sys.argv[1:] = argv
        exec(before, {})
        run_command(train.main)
        status = 0
    except SystemExit as ended:
        status = ended.code
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    _serve()
