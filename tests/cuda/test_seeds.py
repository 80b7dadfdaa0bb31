"""Runs of several seeds at once on one GPU: each is the run alone, bit for bit."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from ffdwv_fast.data.loader import LOADERS
from ffdwv_fast.engine.run import run
from ffdwv_fast.engine.seeds import run_seeds
from tests.cuda.test_graph_step import deterministic_algorithms
from tests.engine.resident import ResidentLoader, small_dataset
from tests.engine.test_parts import CONFIG

SEEDS = (0, 5, 9)


@pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])
def test_runs_at_once_are_the_runs_alone(graph, device, tmp_path, monkeypatch):
    if graph and device == "cpu":
        pytest.skip("gpu_only: a CPU has no graphs")
    monkeypatch.setitem(LOADERS, "resident", ResidentLoader)
    dataset = small_dataset()
    similarity = torch.softmax(torch.eye(dataset.num_classes) * 3, dim=1)
    config = replace(
        CONFIG,
        loader="resident",
        batch_size=8,
        epochs=3,
        device=device,
        cuda_graph=graph,
        amp="bf16",
    )
    with deterministic_algorithms(monkeypatch):
        run_seeds(config, SEEDS, dataset, similarity, tmp_path / "at once")
        for seed in SEEDS:
            run(replace(config, seed=seed), dataset, similarity, tmp_path / f"seed{seed}")
    for seed in SEEDS:
        alone, among = (
            load_file(folder / f"seed{seed}" / "model.safetensors")
            for folder in (tmp_path, tmp_path / "at once")
        )
        assert [name for name in alone if not torch.equal(alone[name], among[name])] == []
