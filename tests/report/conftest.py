"""Runs to report on, and their page."""

import shutil
from pathlib import Path

import pytest

from ffdwv_fast import train
from ffdwv_fast.report.__main__ import main

SMALL = ["--dataset", "digits", "--model", "resnet8", "--train-limit", "200", "--loader", "torch"]


@pytest.fixture(scope="session")
def runs(tmp_path_factory) -> Path:
    """A folder with seeds/seed0 and seed1, validated, and unfinished: as a killed run leaves it."""
    folder = tmp_path_factory.mktemp("runs")
    options = [*SMALL, "--device", "cpu", "--epochs", "2"]
    train.main([*options, "--seeds", "0,1", "--out", str(folder / "seeds")])
    train.main(
        [*options, "--method", "vanilla", "--validation", "60", "--out", str(folder / "validated")]
    )
    shutil.copytree(folder / "seeds" / "seed0", folder / "unfinished")
    for name in ("summary.json", "model.safetensors"):
        (folder / "unfinished" / name).unlink()
    lines = folder / "unfinished" / "metrics.jsonl"
    lines.write_text(lines.read_text()[:-20])  # the second epoch's line was cut short
    return folder


@pytest.fixture(scope="session")
def page_file(runs, tmp_path_factory) -> Path:
    """The page of the two seeds and the validated run."""
    file = tmp_path_factory.mktemp("page") / "report.html"
    main([str(runs / "seeds"), str(runs / "validated"), "-o", str(file), "--device", "cpu"])
    return file
