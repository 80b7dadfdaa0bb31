"""Runs of two processes that are stopped and killed, and what each process writes and prints."""

import json
import shutil
import signal

import pytest

from ffdwv_fast.train import main
from tests.distributed.launch import finish, start, train, wait_for_epochs
from tests.distributed.worker_kills import EPOCHS, OPTIONS, RESTARTS, differences, kill_one


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A run's folder and what its processes have printed."""
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    status, out, err = finish(start(2, *train(folder, OPTIONS)))
    assert status == 0, err
    return folder, out


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """The folder of a run that SIGTERM has stopped, and what that has printed."""
    folder = tmp_path_factory.mktemp("stopped") / "run"
    launcher = start(2, *train(folder, OPTIONS))
    wait_for_epochs(launcher, folder, 1)
    launcher.send_signal(signal.SIGTERM)
    status, _, err = finish(launcher)
    assert status != 0
    return folder, err


def test_rank_0_alone_writes_and_prints(undisturbed):
    folder, out = undisturbed
    names = ("config.json", "metrics.jsonl", "summary.json", "model.safetensors", "curves.png")
    assert {path.name for path in folder.iterdir()} == {*names, "command.json"}
    assert [line[:9] for line in out.splitlines() if line.startswith("epoch ")] == [
        f"epoch {epoch}/{EPOCHS}" for epoch in range(1, EPOCHS + 1)
    ]
    assert sum("test error" in line for line in out.splitlines()) == EPOCHS + 1
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == list(range(1, EPOCHS + 1))
    assert json.loads((folder / "summary.json").read_text())["hardware"]["processes"] == 2


def test_a_run_that_is_stopped_and_then_killed_ends_with_the_same_bits(
    undisturbed, stopped, tmp_path
):
    folder, err = stopped
    command = f"torchrun --nproc-per-node 2 -m ffdwv_fast.train --resume {folder}"
    assert err.count(f"stopped by SIGTERM; go on with: {command}") == 1
    assert (folder / "checkpoint.safetensors").exists()
    copy = shutil.copytree(folder, tmp_path / "run")
    resume = ("-m", "ffdwv_fast.train", "--resume", str(copy))
    launcher = start(2, *resume, max_restarts=RESTARTS)
    assert kill_one(launcher, copy, after=3, later=0.0)
    status, out, err = finish(launcher)
    assert status == 0, err
    assert out.count("resumed after ") == 2
    assert differences(copy, undisturbed[0]) == []


def test_fewer_processes_go_on_with_the_same_batches_and_say_so(stopped, tmp_path, capsys):
    copy = shutil.copytree(stopped[0], tmp_path / "run")
    main(["--resume", str(copy)])
    assert "it was begun with 2 processes and goes on with 1" in capsys.readouterr().out
    lines = (copy / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == EPOCHS
