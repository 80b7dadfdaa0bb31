"""python -m ffdwv_fast.reproduce: tiny plans, stopped and gone on with."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from ffdwv_fast.command import run_command
from ffdwv_fast.methods import METHODS
from ffdwv_fast.reproduce.__main__ import main
from ffdwv_fast.reproduce.paper import PAPER
from ffdwv_fast.reproduce.plans import PLANS, Arm, arms, order
from ffdwv_fast.reproduce.runner import Job, Workshop

TINY = (
    *("table2", "--dataset", "digits", "--models", "resnet8", "--epochs", "2", "--seeds", "2"),
    *("--jobs", "1"),
)
TRAINING = ("--", "--train-limit", "100", "--loader", "torch", "--device", "cpu")
TABLES = ("table2.md", "table2.csv", "table2.json")


def command(out) -> list[str]:
    reproduce = [sys.executable, "-m", "ffdwv_fast.reproduce"]
    return [*reproduce, *TINY, "--output", str(out), *TRAINING]


def summaries(out) -> dict:
    """Of every finished run, with what tells whether it was written again."""
    found = (out / "runs").rglob("seed*/summary.json")
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in found}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed")
    done = subprocess.run(command(out), check=True, capture_output=True, timeout=300, text=True)
    (out / "said.txt").write_text(done.stdout)
    return out


def test_killed_and_started_again_it_has_the_same_tables_and_repeats_nothing(undisturbed, tmp_path):
    process = subprocess.Popen(command(tmp_path), stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 200
    while not summaries(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = summaries(tmp_path)
    assert 1 <= len(before) < 4
    subprocess.run(command(tmp_path), check=True, capture_output=True, timeout=300)
    after = summaries(tmp_path)
    assert {path: after[path] for path in before} == before
    assert len(after) == 4
    for name in TABLES:
        assert (tmp_path / name).read_bytes() == (undisturbed / name).read_bytes()


def test_it_says_what_is_left(undisturbed):
    said = (undisturbed / "said.txt").read_text()
    jobs = re.findall(r"seeds 0,1: \d+ s, (\d+) runs left, ETA \d\d:\d\d\n", said)
    assert [int(runs) for runs in jobs] == [2, 0]


@pytest.mark.parametrize(
    ("estimates", "eta"),
    [
        ({"vanilla": 60.0, "ffdwv": 100.0}, "03:10"),  # (3 * 60 + 2 * 100) / 2
        ({"vanilla": 60.0}, "01:40"),  # ffdwv as the run that has ended: (3 * 60 + 2 * 10) / 2
    ],
    ids=["all known", "one unknown"],
)
def test_time_left_is_of_the_runs_that_are_left(estimates, eta, tmp_path):
    arm = Arm("digits", "resnet8", "vanilla")
    workshop = Workshop(tmp_path, 2, lambda arm: estimates.get(arm.method), lambda *_: False)
    workshop._spent.append(10.0)
    for method, seeds in (("vanilla", (0, 1, 2)), ("ffdwv", (0, 1))):
        workshop._waiting.append(Job(arm._replace(method=method), seeds, (), method))
    assert workshop._left() == f"5 runs left, ETA {eta}"


def test_what_is_done_is_not_done_again(undisturbed, capsys):
    before = summaries(undisturbed)
    main([*TINY, "--output", str(undisturbed), *TRAINING])
    assert "4 runs: 4 done, 0 to do" in capsys.readouterr().out
    assert summaries(undisturbed) == before


def test_another_configuration_and_other_folders(undisturbed, tmp_path, capsys):
    here = [*TINY, "--output", str(tmp_path), "--dry-run"]
    main([*here, *TRAINING])
    assert "4 runs: 0 done, 4 to do" in capsys.readouterr().out
    main([*here, "--results", str(undisturbed), *TRAINING])
    assert "4 runs: 4 done, 0 to do" in capsys.readouterr().out
    main([*here, "--results", str(undisturbed), *TRAINING, "--weight-decay", "0.01"])
    assert "4 runs: 0 done, 4 to do" in capsys.readouterr().out
    assert not (tmp_path / "runs").exists()


def test_the_collection_is_enough_for_the_tables(undisturbed, tmp_path, capsys):
    (tmp_path / "runs.jsonl").write_bytes((undisturbed / "runs.jsonl").read_bytes())
    main([*TINY, "--output", str(tmp_path), *TRAINING])
    assert "4 runs: 4 done, 0 to do" in capsys.readouterr().out
    for name in (*TABLES, "table2-times.csv", "runs.jsonl"):
        assert (tmp_path / name).read_bytes() == (undisturbed / name).read_bytes()


def test_a_call_for_other_runs_loses_none_of_the_collection(undisturbed, tmp_path, capsys):
    (tmp_path / "runs.jsonl").write_bytes((undisturbed / "runs.jsonl").read_bytes())
    main(["figure2", "--dataset", "digits", "--output", str(tmp_path)])
    assert (tmp_path / "runs.jsonl").read_bytes() == (undisturbed / "runs.jsonl").read_bytes()


def test_measured_times_are_means_over_the_seeds(undisturbed):
    _, ffdwv = json.loads((undisturbed / "table2-times.json").read_text())
    own = [
        json.loads((path.parent / "summary.json").read_text())
        for path in (undisturbed / "runs").rglob("seed*/config.json")
        if json.loads(path.read_text())["method"] == "ffdwv"
    ]
    for name in ("seconds", "images_per_second"):
        expected = sum(summary[name] for summary in own) / 2
        assert ffdwv[name]["mean"] == pytest.approx(expected)
    shown = (undisturbed / "table2-times.md").read_text()
    assert f"{ffdwv['seconds']['mean']:.1f} ± {ffdwv['seconds']['sd']:.1f}" in shown
    assert shown in (undisturbed / "results.md").read_text()


def test_tables_hold_what_the_runs_left(undisturbed):
    vanilla, ffdwv = json.loads((undisturbed / "table2.json").read_text())
    runs = {}
    for path, (_, content) in summaries(undisturbed).items():
        method = json.loads((path.parent / "config.json").read_text())["method"]
        runs.setdefault(method, []).append(json.loads(content)["test_error"])
    assert ffdwv["error"]["mean"] == pytest.approx(sum(runs["ffdwv"]) / 2)
    assert ffdwv["minus_vanilla"]["mean"] == pytest.approx(
        (sum(runs["ffdwv"]) - sum(runs["vanilla"])) / 2
    )
    assert (ffdwv["minus_vanilla"]["n"], vanilla["minus_vanilla"]) == (2, None)
    assert ffdwv["test_flops"] == ffdwv["train_flops"] > 0
    first, second = csv.DictReader((undisturbed / "table2.csv").open())
    assert (first["method"], second["method"]) == ("vanilla", "ffdwv")
    assert float(second["error.mean"]) == ffdwv["error"]["mean"]
    assert (undisturbed / "table2-digits-resnet8.png").read_bytes().startswith(b"\x89PNG")


def test_one_page_has_the_tables_and_links_the_pictures(undisturbed, tmp_path, capsys):
    page = tmp_path / "deep" / "page.md"
    page.parent.mkdir()
    main([*TINY, "--output", str(undisturbed), "--page", str(page), *TRAINING])
    text = page.read_text()
    assert (undisturbed / "table2.md").read_text() in text
    assert "digits resnet8: training images: 100, epochs 2, batch size 32, lr 0.05" in text
    links = [(page.parent / link).resolve() for link in re.findall(r"!\[.*]\((.*)\)", text)]
    names = ("table2-digits-resnet8.png", "table2-digits-resnet8-differences.png")
    assert links == [undisturbed / name for name in names]
    assert all(link.read_bytes().startswith(b"\x89PNG") for link in links)


def test_a_page_is_shared_by_calls(undisturbed, tmp_path, capsys):
    page = tmp_path / "page.md"
    table = [*TINY, "--output", str(undisturbed), "--page", str(page), *TRAINING]
    main(table)
    once = page.read_text()
    main(["figure2", "--dataset", "digits", "--output", str(tmp_path), "--page", str(page)])
    both = page.read_text()
    assert both.startswith(once)
    assert "## Figure 2" in both[len(once) :]
    main(table)
    assert page.read_text() == both


def test_no_run_begins_that_the_time_left_does_not_allow(undisturbed, tmp_path, capsys):
    options = [*TINY, "--output", str(tmp_path), "--results", str(undisturbed)]
    options += ["--seeds", "3", "--time-budget", "0.000001", *TRAINING]
    main(options)  # two seeds are there, of which an estimate is made
    printed = capsys.readouterr().out
    assert "6 runs: 4 done, 2 to do" in printed
    assert "no time left for digits resnet8 ffdwv glove-6b-50d, seeds 2" in printed
    assert summaries(tmp_path) == {}
    assert [r["seeds"] for r in json.loads((tmp_path / "table2.json").read_text())] == [[0, 1]] * 2


def test_a_method_that_is_not_registered_is_named_and_skipped(tmp_path, capsys, monkeypatch):
    monkeypatch.delitem(METHODS, "kd")
    options = ["table3", "--dataset", "digits", "--output", str(tmp_path), "--dry-run"]
    main([*options, *TRAINING])
    out = capsys.readouterr().out
    assert "skipped: every arm of kd, as no such method is registered" in out
    assert "--method kd" not in out
    assert "--method dml" in out


@pytest.mark.parametrize(
    "options",
    [
        *(("--datasets", "mnist"), ("--models", "vgg"), ("--results", "nowhere")),
        ("--", "--seed", "3"),
    ],
    ids=" ".join,
)
def test_bad_options_are_one_line(options, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        run_command(lambda _: main(["table2", "--output", str(tmp_path), *options]))
    assert stopped.value.code == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_runs_come_in_the_order_of_what_they_tell():
    wanted = [arm for plan in PLANS.values() for arm in arms(plan, ["digits"])]
    runs = order(wanted, range(4))
    assert len(set(runs)) == len(runs) == len(set(wanted)) * 4
    names = [(arm.model, arm.method, seed) for arm, seed in runs]
    assert names[:3] == [("resnet8", "vanilla", seed) for seed in range(3)]
    assert names[3] == ("resnet8", "ffdwv", 0)
    first = {name[:2]: place for place, name in reversed(list(enumerate(names)))}
    assert first["resnet8", "kd"] < first["resnet20", "vanilla"]
    assert names[-1][2] == 3


def test_papers_ffdwv_costs_are_marked_and_less_than_a_forward_pass():
    for (_, _, method), result in PAPER.items():
        impossible = result.train_flops is not None and result.train_flops < result.test_flops
        assert result.erratum == impossible == (method == "ffdwv" and impossible)
