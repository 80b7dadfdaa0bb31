"""Several seeds in one process."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from ffdwv_fast import InputError
from ffdwv_fast.data.loader import LOADERS
from ffdwv_fast.engine import seeds, trainer
from ffdwv_fast.engine.config import TrainConfig
from ffdwv_fast.engine.run import run
from ffdwv_fast.engine.seeds import run_seeds, statistics_of
from ffdwv_fast.engine.stop import StopRequest
from tests.engine.resident import ResidentLoader, small_dataset
from tests.engine.test_parts import CONFIG

SEEDS = (0, 5, 9)


@pytest.fixture
def config(monkeypatch) -> TrainConfig:
    monkeypatch.setitem(LOADERS, "resident", ResidentLoader)
    return replace(CONFIG, method="vanilla", loader="resident", batch_size=8)


def test_runs_that_take_turns_are_the_runs_alone(config, tmp_path, monkeypatch):
    taken = []
    original = seeds._Turns.take

    def take(self):
        taken.append(self.run.config.seed)
        return original(self)

    monkeypatch.setattr(seeds._Turns, "take", take)
    dataset = small_dataset()
    seeds._in_turns(config, SEEDS, dataset, None, tmp_path, StopRequest())
    assert taken[:6] == [*SEEDS, *SEEDS]
    for seed in SEEDS:
        run(replace(config, seed=seed), dataset, None, tmp_path / "alone" / f"seed{seed}")
        alone, among = (
            load_file(folder / f"seed{seed}" / "model.safetensors")
            for folder in (tmp_path / "alone", tmp_path)
        )
        assert all(torch.equal(alone[name], among[name]) for name in alone)
    first, second = (load_file(tmp_path / f"seed{s}" / "model.safetensors") for s in SEEDS[:2])
    assert not torch.equal(first["fc.weight"], second["fc.weight"])


def test_a_run_that_is_stopped_stops_all_and_closes_their_loaders(config, tmp_path, monkeypatch):
    closed = []
    monkeypatch.setattr(ResidentLoader, "close", lambda self: closed.append(self))
    original = seeds._Turns.take

    def take(self):
        if self.run.config.seed == SEEDS[1]:
            raise KeyboardInterrupt
        return original(self)

    monkeypatch.setattr(seeds._Turns, "take", take)
    with pytest.raises(KeyboardInterrupt):
        seeds._in_turns(config, SEEDS[:2], small_dataset(), None, tmp_path, StopRequest())
    assert len(set(map(id, closed))) == 4  # of the run that had begun and of the other one


@pytest.mark.parametrize("device", ["cpu", "in turns"])
def test_a_run_that_diverges_names_its_seed(config, tmp_path, monkeypatch, device):
    original = trainer.Trainer.train

    def train(self, listener):
        if self.train_loader.seed == SEEDS[1]:
            raise InputError("the training loss became nan in epoch 1")
        yield from original(self, listener)

    monkeypatch.setattr(trainer.Trainer, "train", train)
    several = run_seeds if device == "cpu" else seeds._in_turns
    with pytest.raises(InputError, match=f"^seed {SEEDS[1]}: the training loss became nan in"):
        several(config, SEEDS[:2], small_dataset(), None, tmp_path / "out", StopRequest())


def test_summary_over_the_seeds(config, tmp_path):
    summary = run_seeds(config, SEEDS, small_dataset(), None, tmp_path / "out")
    assert summary["seeds"] == list(SEEDS)
    assert summary["test_error"]["n"] == len(SEEDS)
    assert summary["epochs"] == config.epochs


def test_statistics_of_known_values():
    assert statistics_of([1.0, 2.0, 6.0]) == pytest.approx({"mean": 3.0, "sd": 7**0.5, "n": 3})
    assert statistics_of([4.0]) == {"mean": 4.0, "sd": None, "n": 1}
