"""Runs of two processes that are stopped and killed, and what each process writes and prints."""

import json
import shutil
from collections import Counter

from ffdwv_fast.train import main
from tests.distributed.launch import finish, start, train
from tests.distributed.worker_kills import EPOCHS, OPTIONS, RESTARTS, differences, kill_one


def test_rank_0_alone_writes_and_prints(two_processes):
    folder = two_processes.folder / "undisturbed"
    logs = ("metrics.jsonl", "metrics.csv", "curves.png")
    names = (*logs, "config.json", "summary.json", "model.safetensors", "command.json", ".lock")
    assert {path.name for path in folder.iterdir()} == {*names}
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == list(range(1, EPOCHS + 1))
    assert json.loads((folder / "summary.json").read_text())["hardware"]["processes"] == 2
    # Of the undisturbed run and of the one that was stopped and gone on with.
    printed = Counter(line[:9] for line in two_processes.out.splitlines() if line[:5] == "epoch")
    assert printed == {f"epoch {epoch}/{EPOCHS}": 2 for epoch in range(1, EPOCHS + 1)}


def test_a_signal_to_one_process_stops_all_and_they_go_on_to_the_same_bits(two_processes):
    folder = two_processes.folder
    command = f"torchrun --nproc-per-node 2 -m ffdwv_fast.train --resume {folder / 'stopped'}"
    assert two_processes.err.count(f"stopped by SIGTERM; go on with: {command}") == 1
    assert (folder / "stopped" / "checkpoint.safetensors").exists()
    assert two_processes.out.count("resumed after ") == 1
    assert differences(folder / "gone on with", folder / "undisturbed") == []


def test_fewer_processes_go_on_with_the_same_batches_and_say_so(two_processes, tmp_path, capsys):
    copy = shutil.copytree(two_processes.folder / "stopped", tmp_path / "run")
    main(["--resume", str(copy)])
    assert "it was begun with 2 processes and goes on with 1" in capsys.readouterr().out
    assert len((copy / "metrics.jsonl").read_text().splitlines()) == EPOCHS


def test_a_run_whose_worker_is_killed_ends_with_the_same_bits(two_processes, tmp_path):
    folder = tmp_path / "run"
    launcher = start(2, *train(folder, OPTIONS), max_restarts=RESTARTS)
    assert kill_one(launcher, folder, after=1, later=0.0)
    status, out, err = finish(launcher)
    assert status == 0, err
    assert out.count("resumed after ") == 1
    assert differences(folder, two_processes.folder / "undisturbed") == []
