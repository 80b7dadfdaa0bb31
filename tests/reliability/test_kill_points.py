"""Runs that are killed at a random moment, a few of many: see kill_points.py."""

import os
import signal

import pytest

from tests.reliability import kill_points
from tests.reliability.kill_points import RUN, Point
from tests.reliability.left import left_by


def test_runs_killed_at_a_random_moment_end_bit_equal(zygote, tmp_path):
    points = list(kill_points.kill_points(zygote, 2, seed=0, folder=tmp_path))
    assert [point.equal for point in points] == [True] * 2


@pytest.mark.parametrize("name", ["model.safetensors", "metrics.jsonl", "summary.json"])
def test_a_run_that_ends_otherwise_is_noticed(tmp_path, name, monkeypatch):
    def finish(_, options, out):
        out.mkdir(exist_ok=True)
        (out / "model.safetensors").write_bytes(b"weights")
        (out / "metrics.jsonl").write_text('{"epoch": 1, "images_per_second": 5.0}\n')
        (out / "summary.json").write_text('{"test_error": 1, "seconds": 2.0}\n')
        if out.name == "point1":
            changed = (out / name).read_bytes().replace(b"1", b"2").replace(b"w", b"W")
            (out / name).write_bytes(changed)

    def killed(_, options, out, seconds):
        out.mkdir()
        return True

    monkeypatch.setattr(kill_points, "_finish", finish)
    monkeypatch.setattr(kill_points, "_killed", killed)
    points = kill_points.kill_points(None, 3, seed=0, folder=tmp_path)
    assert [point.equal for point in points] == [True, False, True]
    assert {path.name for path in tmp_path.iterdir()} == {"whole", "point1"}


def test_a_run_killed_while_it_writes_its_first_checkpoint_begins_again(zygote, whole, tmp_path):
    out = tmp_path / "run"
    kill = f"""
import os, signal
replace = os.replace
def replace_or_die(source, target):
    if str(target).endswith("checkpoint.safetensors"):
        os.kill(os.getpid(), {int(signal.SIGKILL)})
    replace(source, target)
os.replace = replace_or_die
"""
    argv = [*RUN, "--out", str(out)]
    status = zygote.wait(zygote.start(argv, tmp_path / "log", before=kill))
    assert status == -signal.SIGKILL
    assert kill_points._found(out) == "half a file"
    assert zygote.run(argv, tmp_path / "log") == 0
    assert [name for name in os.listdir(out) if name.startswith(".")] == [".lock"]
    assert left_by(out) == whole


@pytest.mark.parametrize("equal", [True, False])
def test_the_command_counts_and_says_which(equal, monkeypatch, capsys, tmp_path):
    class NoZygote:
        def close(self):
            pass

    found = [Point(0.1, "nothing", True), Point(0.2, "a checkpoint", equal)]
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.setattr(kill_points.tempfile, "mkdtemp", lambda **_: str(folder))
    monkeypatch.setattr(kill_points, "Zygote", NoZygote)
    monkeypatch.setattr(kill_points, "kill_points", lambda *_: iter(found))
    assert kill_points.main(["--points", "2"]) == (0 if equal else 1)
    printed = capsys.readouterr().out
    assert f"{1 + equal} of 2 runs killed by SIGKILL ended bit-equal" in printed
    assert '{"nothing": 1, "a checkpoint": 1}' in printed
    assert (str(folder) in printed) == folder.exists() == (not equal)
