"""All that the tests have two processes do, in one launch, since each takes seconds to begin.

`torchrun --nproc-per-node 2 -m tests.distributed.two_processes FOLDER` leaves in FOLDER what
tests.distributed.epochs does and three runs: undisturbed, stopped in the middle, and one that was
stopped there too and then gone on with.
"""

import os
import shutil
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import torch

from ffdwv_fast import train
from ffdwv_fast.engine import distributed
from tests.distributed.epochs import all_recorded
from tests.distributed.launch import epochs_in
from tests.distributed.worker_kills import OPTIONS

CPU = torch.device("cpu")


def stop_in_its_second_epoch(folder: Path) -> None:
    """A run in which SIGTERM reaches the second process alone; both have to end."""

    def send() -> None:
        while epochs_in(folder) < 1:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    if distributed.rank() == 1:
        threading.Thread(target=send, daemon=True).start()
    with suppress(SystemExit):
        train.main([*OPTIONS, "--out", str(folder)])


def main() -> None:
    """Do it."""
    folder = Path(sys.argv[1])
    with distributed.joined(CPU):
        torch.save(all_recorded(CPU), folder / f"rank{distributed.rank()}.pt")
        train.main([*OPTIONS, "--out", str(folder / "undisturbed")])
        stop_in_its_second_epoch(folder / "stopped")
        if distributed.is_first():
            shutil.copytree(folder / "stopped", folder / "gone on with")
        distributed.barrier()
        train.main(["--resume", str(folder / "gone on with")])


if __name__ == "__main__":
    main()
