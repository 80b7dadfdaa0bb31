"""The trained networks of runs, asked again about the images they were evaluated on."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from ffdwv_fast.data.cifar import find_archive, find_cifar
from ffdwv_fast.data.dataset import Dataset
from ffdwv_fast.data.loader import make_loader
from ffdwv_fast.engine.config import TrainConfig
from ffdwv_fast.engine.evaluate import predictions
from ffdwv_fast.engine.precision import Precision
from ffdwv_fast.engine.run_images import images_for
from ffdwv_fast.engine.trained import load_trained
from ffdwv_fast.errors import InputError
from ffdwv_fast.report.predictions import Predictions
from ffdwv_fast.report.runs import ReportRun

BATCH = 512
DOWNLOADED = ("cifar10", "cifar100")


def with_predictions(
    runs: Sequence[ReportRun], device: torch.device, data_dir: Path | None
) -> list[ReportRun]:
    """The runs, those that have finished with the predictions of their networks.

    Nothing is downloaded, and nothing trained.

    Args:
        runs: as `read_runs` gives them.
        device: to compute on.
        data_dir: folder of the data sets; None: where each run had it.

    Raises:
        InputError: images or weights are not there or do not fit.
    """
    images = _Images(device)
    return [
        run
        if run.summary is None
        else replace(run, predictions=_predictions(run, device, data_dir, images))
        for run in runs
    ]


class _Images:
    """Reads data sets and keeps the last: runs of one come one after the other, as a rule."""

    def __init__(self, device: torch.device):
        self._device = device
        self._last: dict[str, Dataset] = {}

    def of(self, config: TrainConfig, folder: Path) -> Dataset:
        """The data set of a run."""
        test_only = config.validation is None
        key = json.dumps([config.dataset, config.images, str(folder), test_only])
        if key not in self._last:
            self._last.clear()
            self._last[key] = _load(config, folder, self._device, test_only)
        return self._last[key]


def _load(config: TrainConfig, folder: Path, device: torch.device, test_only: bool) -> Dataset:
    name = config.dataset
    is_there = name not in DOWNLOADED or find_cifar(name, folder) or find_archive(name, folder)
    if not is_there:
        raise InputError(
            f"the images of {name} are not under {folder}; name the folder that has them with "
            "--data-dir, or leave out what needs them with --no-images"
        )
    return images_for(config, name, folder, device, test_only)


def _predictions(
    run: ReportRun, device: torch.device, data_dir: Path | None, images: _Images
) -> Predictions:
    config = run.config
    dataset = images.of(config, data_dir or Path(config.data_dir))
    if config.validation is not None:
        if config.train_limit is not None:
            dataset = dataset.limit_train(config.train_limit)
        dataset = dataset.hold_out(config.validation, config.seed)
    trained = load_trained(run.folder, device)
    amp = "off" if config.amp == "fp16" and device.type == "cpu" else config.amp
    loader = make_loader(
        "torch", dataset.test, dataset, batch_size=BATCH, device=device, seed=0, augment=False
    )
    logits, labels = predictions(trained.network, loader, Precision(amp, device))
    loader.close()
    return Predictions(
        class_names=dataset.class_names,
        images=dataset.test.images,
        labels=labels.cpu(),
        logits=logits.to("cpu", torch.float64),
    )
