"""Processes that are asked to stop."""

import os
import re
import shlex
import signal
import time

import pytest

from tests.reliability.kill_points import RUN
from tests.reliability.left import left_by

WITHIN = 60  # seconds until something has happened, on a machine that is busy with other things

# In a long step, or a long evaluation, as its name says; it leaves a file when it is there.
SLOW = """
import time
from pathlib import Path
from ffdwv_fast.engine.{module} import {owner}
def slowly(*_):
    Path({marker!r}).touch()
    time.sleep(100)
{owner}.{name} = slowly
"""
PLACES = {
    "a step": {"module": "step", "owner": "EagerStep", "name": "__call__"},
    "an evaluation": {"module": "trainer", "owner": "Trainer", "name": "evaluate"},
}


def wait_for(path):
    deadline = time.monotonic() + WITHIN
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not come"
        time.sleep(0.01)


def arguments(command: str) -> list[str]:
    """Of a command line that begins a training run."""
    python, m, module, *argv = shlex.split(command)
    assert (python, m, module) == ("python", "-m", "ffdwv_fast.train")
    return argv


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_saves_and_says_how_to_go_on(zygote, whole, tmp_path, name):
    number = signal.Signals[name]
    out = tmp_path / "a folder with blanks"
    pid = zygote.start([*RUN, "--out", str(out)], tmp_path / "log")
    wait_for(out / "metrics.jsonl")
    os.kill(pid, number)
    assert zygote.wait(pid) == 128 + number
    last = (tmp_path / "log").read_text().splitlines()[-1]
    said = re.fullmatch(rf"stopped by {name}; go on with: (.*)", last)
    assert zygote.run(arguments(said[1]), tmp_path / "log") == 0
    assert "resumed after " in (tmp_path / "log").read_text()
    assert left_by(out) == whole


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_to_the_loaders_workers_too_saves(zygote, tmp_path, name):
    options = ("--workers", "1", "--epochs", "1000", "--checkpoint-minutes", "1e-9")
    pid = zygote.start([*RUN, *options, "--out", str(tmp_path / "run")], tmp_path / "log")
    wait_for(tmp_path / "run" / "checkpoint.safetensors")  # so within an epoch, with a worker
    os.killpg(pid, signal.Signals[name])
    assert zygote.wait(pid) == 128 + signal.Signals[name]
    assert f"stopped by {name}; go on with: " in (tmp_path / "log").read_text()


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_a_second_interrupt_leaves_at_once(zygote, tmp_path, place):
    marker = tmp_path / "there"
    before = SLOW.format(**place, marker=str(marker))
    pid = zygote.start([*RUN, "--out", str(tmp_path / "run")], tmp_path / "log", before)
    wait_for(marker)
    os.kill(pid, signal.SIGINT)
    time.sleep(0.3)
    os.kill(pid, 0)  # the first one waits for the step
    start = time.monotonic()
    os.kill(pid, signal.SIGINT)
    assert zygote.wait(pid) == 130
    assert time.monotonic() - start < 20  # of the 100 s that it would take
    assert (tmp_path / "log").read_text().splitlines()[-1] == "interrupted"
