"""Runs on the small data set that are stopped and gone on with."""

import signal
from pathlib import Path

import torch

from ffdwv_fast.engine.config import TrainConfig
from ffdwv_fast.engine.run import run
from ffdwv_fast.engine.stop import Stopped, StopRequest
from tests.engine.resident import small_dataset
from tests.engine.steps import make_similarity

EVENTS = 4  # of an epoch of 23 images in batches of 8: three steps and its end


class StopAfter(StopRequest):
    """Asks to stop so that a run ends after so many events: its steps and the ends of epochs."""

    def __init__(self, events: int):
        super().__init__()
        self._left = events - 1
        self._ask()

    def check(self) -> None:
        super().check()
        self._left -= 1
        self._ask()

    def _ask(self) -> None:
        if self._left == 0:
            self.signal = signal.SIGTERM


def start(config: TrainConfig, out: Path, stop: StopRequest | None = None) -> dict[str, object]:
    """Run, or go on with a run; its summary."""
    return run(config, small_dataset(), make_similarity(), out, stop)


def run_in_parts(config: TrainConfig, out: Path, *events: int) -> None:
    """Run and stop after so many events, go on and stop after so many more, and so to the end."""
    for count in events:
        torch.manual_seed(99)  # as a new process has another state
        try:
            start(config, out, StopAfter(count))
        except Stopped:
            continue
        return
    start(config, out)
