"""The trained networks of runs, asked again about the images they were evaluated on."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import torch

from ffdwv_fast.data.cifar import find_archive, find_cifar
from ffdwv_fast.data.dataset import Dataset
from ffdwv_fast.data.loader import make_loader
from ffdwv_fast.data.registry import load_dataset
from ffdwv_fast.engine.evaluate import predictions
from ffdwv_fast.engine.precision import Precision
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

    @lru_cache(maxsize=1)  # runs of one data set come one after the other, as a rule
    def images(name: str, folder: Path) -> Dataset:
        return _load(name, folder)

    return [
        run
        if run.summary is None
        else replace(run, predictions=_predictions(run, device, data_dir, images))
        for run in runs
    ]


def _load(name: str, folder: Path) -> Dataset:
    is_there = name not in DOWNLOADED or find_cifar(name, folder) or find_archive(name, folder)
    if not is_there:
        raise InputError(
            f"the images of {name} are not under {folder}; name the folder that has them with "
            "--data-dir, or leave out what needs them with --no-images"
        )
    return load_dataset(name, folder)


def _predictions(
    run: ReportRun,
    device: torch.device,
    data_dir: Path | None,
    images: Callable[[str, Path], Dataset],
) -> Predictions:
    config = run.config
    dataset = images(config.dataset, data_dir or Path(config.data_dir))
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
