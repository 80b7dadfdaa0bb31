"""The parts of the engine, each against an independent reference."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from ffdwv_fast import InputError
from ffdwv_fast.engine.config import TrainConfig
from ffdwv_fast.engine.metrics import MetricSums
from ffdwv_fast.engine.precision import Precision, chosen_amp, computes_in_bf16
from ffdwv_fast.engine.run_folder import RunFolder, default_path
from ffdwv_fast.engine.schedule import learning_rate
from ffdwv_fast.engine.trainer import EpochRecord

CPU = torch.device("cpu")
CONFIG = TrainConfig(
    method="ffdwv",
    dataset="digits",
    data_dir="data",
    train_limit=None,
    model="resnet8",
    shortcut="A",
    epochs=2,
    batch_size=32,
    lr=0.1,
    weight_decay=1e-4,
    amp="off",
    compile=False,
    cuda_graph=False,
    without=(),
    loader="torch",
    workers=0,
    device="cpu",
    seed=7,
    soft_weight=1.0,
    similarity=None,
)
RECORDS = [
    EpochRecord(1, 0.1, 2.5, 2.0, 0.5, 60.0, 50.0, 1000.0),
    EpochRecord(2, 0.01, 1.5, 1.2, 0.3, 30.0, 25.5, 1100.0),
]


def test_schedule_of_the_paper():
    rates = [learning_rate(0.1, epoch, 300) for epoch in range(300)]
    assert rates == pytest.approx([0.1] * 150 + [0.01] * 75 + [0.001] * 75, rel=1e-12)


@pytest.mark.parametrize(
    ("epochs", "factors"), [(1, [1]), (2, [1, 0.1]), (3, [1, 1, 0.1]), (5, [1, 1, 1, 0.1, 0.01])]
)
def test_schedule_of_a_short_run_drops_between_epochs(epochs, factors):
    rates = [learning_rate(1.0, epoch, epochs) for epoch in range(epochs)]
    assert rates == pytest.approx(factors)


def test_metrics_weigh_batches_by_their_size():
    sums = MetricSums(CPU)
    for loss, parts, images in ((2.0, [1.5, 0.5, 3.0], 4), (5.0, [4.0, 1.0, 0.0], 1)):
        sums.add_on_device(torch.tensor(loss), torch.tensor(parts, dtype=torch.float64), images)
        sums.add_skipped(torch.tensor(images == 1))
        sums.count(images)
    expected = ((4 * 2 + 5) / 5, (4 * 1.5 + 4) / 5, (4 * 0.5 + 1) / 5, 40.0, 1)
    assert sums.read() == pytest.approx(expected)


def test_autocast_is_on_only_when_asked_for():
    layer = torch.nn.Linear(4, 4)
    for amp, dtype in (("off", torch.float32), ("bf16", torch.bfloat16)):
        with Precision(amp, CPU).autocast():
            assert layer(torch.ones(1, 4)).dtype == dtype


@pytest.mark.parametrize(
    ("instructions", "expected"),
    [({"avx2"}, False), ({"avx2", "avx512_bf16"}, True), ({"avx2", "amx_tile"}, True)],
    ids=["none", "avx512_bf16", "amx"],
)
def test_bfloat16_counts_only_where_it_is_not_emulated(monkeypatch, instructions, expected):
    for name in ("avx2", "avx512_bf16", "amx_tile"):
        has = name in instructions
        monkeypatch.setattr(torch.cpu, f"_is_{name}_supported", lambda has=has: has)
    assert computes_in_bf16(CPU) is expected
    assert chosen_amp("auto", CPU) == ("bf16" if expected else "off")
    assert chosen_amp("bf16", CPU) == "bf16"


def test_a_gpu_computes_in_bfloat16():
    assert computes_in_bf16(torch.device("cuda"))


def test_float16_on_a_cpu_is_refused():
    with pytest.raises(InputError, match=r"--amp fp16 needs a GPU.*--amp bf16"):
        Precision("fp16", CPU)


def test_run_folder_holds_what_was_given(tmp_path):
    folder = RunFolder(tmp_path / "a" / "run", CONFIG)
    model = torch.nn.Conv2d(2, 3, 3).to(memory_format=torch.channels_last)
    for count in range(1, len(RECORDS) + 1):
        folder.save_epochs(RECORDS[:count])
    folder.finish(RECORDS, model, {"test_error": 25.5})

    assert json.loads((folder.path / "config.json").read_text())["seed"] == 7
    lines = [json.loads(line) for line in (folder.path / "metrics.jsonl").read_text().splitlines()]
    assert [EpochRecord(**line) for line in lines] == RECORDS
    assert json.loads((folder.path / "summary.json").read_text()) == {"test_error": 25.5}
    weights = load_file(folder.path / "model.safetensors")
    assert all(torch.equal(weights[name], t) for name, t in model.state_dict().items())
    assert (folder.path / "curves.png").read_bytes().startswith(b"\x89PNG\r\n")
    assert {path.name for path in folder.path.iterdir()} == {
        *("config.json", "metrics.jsonl", "metrics.csv", "summary.json"),
        *("model.safetensors", "curves.png"),
    }


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: (RunFolder(p, CONFIG), (p / "summary.json").touch()), "already holds a run"),
        (lambda p: RunFolder(p, replace(CONFIG, lr=9.0)), "another configuration .lr 9.0 there"),
        (lambda p: (p.mkdir(), (p / "config.json").touch()), "config.json cannot be read"),
        (lambda p: (p.mkdir(), (p / "thesis.tex").touch()), "already holds files"),
        (lambda p: p.touch(), "is a file"),
        (lambda p: p.symlink_to("/proc/no/such/place"), "cannot be written"),
    ],
    ids=["run", "another run", "damaged run", "files", "file", "unwritable"],
)
def test_run_folder_leaves_alone_what_is_there(tmp_path, make, message):
    path = tmp_path / "run"
    make(path)
    with pytest.raises(InputError, match=message):
        RunFolder(path, CONFIG)


def test_default_folder_is_a_new_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = default_path(CONFIG, [7])
    first.mkdir(parents=True)
    assert default_path(CONFIG, [7]) != first
    assert first.name.endswith("digits-resnet8-ffdwv-seed7")
    assert default_path(CONFIG, [7, 9]).name.endswith("seed7-9")
