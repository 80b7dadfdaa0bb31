"""One run from its configuration to its folder."""

import statistics
import sys
import time
from pathlib import Path

import torch
from torch import Tensor

from ffdwv_fast.data.dataset import Dataset
from ffdwv_fast.data.loader import Loader, make_loader
from ffdwv_fast.engine.config import TrainConfig
from ffdwv_fast.engine.environment import hardware, versions
from ffdwv_fast.engine.precision import Precision
from ffdwv_fast.engine.progress import Progress
from ffdwv_fast.engine.run_folder import RunFolder
from ffdwv_fast.engine.trainer import EpochRecord, Trainer
from ffdwv_fast.methods import METHODS
from ffdwv_fast.models import MODELS


def run(
    config: TrainConfig, dataset: Dataset, similarity: Tensor | None, out: Path
) -> dict[str, object]:
    """Train as configured and leave the results in a folder.

    Args:
        config: what to do.
        dataset: the data set of that name, already limited to `config.train_limit`.
        similarity: S, [C, C] float32, for methods that need it.
        out: the folder; must be free.

    Returns:
        The summary, as summary.json holds it.

    Raises:
        InputError: something in the configuration does not fit, or training diverged.
    """
    device = torch.device(config.device)
    precision = Precision(config.amp, device)
    trainer = _trainer(config, dataset, similarity, precision, device)
    folder = RunFolder(out, config)
    parameters = sum(p.numel() for p in trainer.model.parameters())
    print(
        f"{config.method}: {config.model} ({parameters:,} parameters) on {config.dataset}, "
        f"{len(dataset.train):,} training images, {config.loader} loader, {device}, "
        f"amp {config.amp}; results in {out}",
        flush=True,
    )
    start = time.perf_counter()
    records = _train(trainer, folder, device)
    summary = {
        "test_error": records[-1].test_error,
        "train_error": records[-1].train_error,
        "epochs": len(records),
        "parameters": parameters,
        "images_per_second": _typical_rate(records),
        "seconds": time.perf_counter() - start,
        "seeds": [config.seed],
        "versions": versions(),
        "hardware": hardware(device),
    }
    folder.finish(records, trainer.model, summary)
    return summary


def _trainer(
    config: TrainConfig,
    dataset: Dataset,
    similarity: Tensor | None,
    precision: Precision,
    device: torch.device,
) -> Trainer:
    torch.manual_seed(config.seed)
    model = MODELS[config.model](
        dataset.num_classes, in_channels=dataset.image_shape[0], shortcut=config.shortcut
    )
    method = METHODS[config.method](similarity, config.soft_weight)

    def loader(train: bool) -> Loader:
        return make_loader(
            config.loader,
            dataset.train if train else dataset.test,
            dataset,
            batch_size=config.batch_size,
            device=device,
            seed=config.seed,
            augment=train,
            half=device.type == "cuda" and precision.dtype is not None,
        )

    return Trainer(
        model.to(device),
        method.to(device),
        loader(train=True),
        loader(train=False),
        precision,
        epochs=config.epochs,
        lr=config.lr,
        weight_decay=config.weight_decay,
    )


def _train(trainer: Trainer, folder: RunFolder, device: torch.device) -> list[EpochRecord]:
    records: list[EpochRecord] = []
    progress = Progress(
        trainer.total_epochs, trainer.train_loader.images_per_epoch, live=device.type == "cpu"
    )
    try:
        for record in trainer.epochs(progress):
            folder.add_epoch(record)
            records.append(record)
            progress.epoch(record)
    except KeyboardInterrupt:
        print(
            f"stopped after {len(records)} epochs; their metrics are in {folder.path}",
            file=sys.stderr,
        )
        raise
    finally:
        progress.close()
        trainer.train_loader.close()
        trainer.test_loader.close()
    return records


def _typical_rate(records: list[EpochRecord]) -> float:
    """The median of images/s over the epochs; the first, which warms up, counts only if alone."""
    return statistics.median(r.images_per_second for r in records[1:] or records)
