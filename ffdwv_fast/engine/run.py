"""One run from its configuration to its folder."""

import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from ffdwv_fast.data.dataset import Dataset
from ffdwv_fast.data.loader import LOADERS, Loader
from ffdwv_fast.engine.config import TrainConfig
from ffdwv_fast.engine.environment import hardware, versions
from ffdwv_fast.engine.precision import Precision
from ffdwv_fast.engine.progress import Progress
from ffdwv_fast.engine.run_folder import RunFolder
from ffdwv_fast.engine.speedups import Speedups
from ffdwv_fast.engine.step import EagerStep
from ffdwv_fast.engine.step_body import StepBody
from ffdwv_fast.engine.step_graph import CudaGraphRecorder, GraphStep
from ffdwv_fast.engine.trainer import EpochRecord, Trainer
from ffdwv_fast.methods import METHODS
from ffdwv_fast.models import MODELS

# Evaluation launches operator by operator: on a GPU, small batches would take longer than the
# training steps of their epoch.
GPU_EVALUATION_BATCH = 1024


class Run:
    """A run that goes on step by step, so that several can take turns.

    Args:
        config: what to do.
        dataset: the data set of that name, already limited to `config.train_limit`.
        similarity: S, [C, C] float32, for methods that need it.
        out: the folder; must be free.
        name: in the lines of its progress, where others go on at the same time.

    Raises:
        InputError: something in the configuration does not fit.
    """

    def __init__(
        self,
        config: TrainConfig,
        dataset: Dataset,
        similarity: Tensor | None,
        out: Path,
        name: str = "",
    ):
        self.config = config
        self._device = torch.device(config.device)
        self.trainer = _trainer(config, dataset, similarity, self._device)
        self._folder = RunFolder(out, config)
        self.parameters = sum(p.numel() for p in self.trainer.model.parameters())
        self._records: list[EpochRecord] = []
        self._name = name
        self._start = time.perf_counter()
        self._seconds = 0.0
        print(
            f"{config.method}: {config.model} ({self.parameters:,} parameters) on "
            f"{config.dataset}, {len(dataset.train):,} training images, {config.loader} loader, "
            f"{self._device}, amp {config.amp}; results in {out}",
            flush=True,
        )
        self.trainer.prepare()

    def steps(self) -> Iterator[None]:
        """Train, stopping after each step; the folder has an epoch as soon as it has ended.

        Raises:
            InputError: training diverged.
        """
        trainer = self.trainer
        progress = Progress(
            trainer.total_epochs,
            trainer.train_loader.images_per_epoch,
            live=self._device.type == "cpu",
            with_kl=trainer.method.needs_similarity,
            name=self._name,
        )
        try:
            for record in trainer.train(progress):
                if record is not None:
                    self._folder.add_epoch(record)
                    self._records.append(record)
                    progress.epoch(record)
                yield None
        except KeyboardInterrupt:
            self._say_stopped()
            raise
        finally:
            self._seconds = time.perf_counter() - self._start
            progress.close()
            self.close()

    def close(self) -> None:
        """Free what the loaders hold; calling it twice is fine."""
        self.trainer.train_loader.close()
        self.trainer.test_loader.close()

    def finish(self) -> dict[str, object]:
        """Write weights, picture and summary.

        Returns:
            The summary, as summary.json holds it.
        """
        records = self._records
        summary = {
            "test_error": records[-1].test_error,
            "train_error": records[-1].train_error,
            "epochs": len(records),
            "parameters": self.parameters,
            "images_per_second": _typical_rate(records),
            "seconds": self._seconds,
            "time_shares": self.trainer.stopwatch.shares(self._seconds),
            "seeds": [self.config.seed],
            "versions": versions(),
            "hardware": hardware(self._device),
        }
        self._folder.finish(records, self.trainer.model, summary)
        return summary

    def _say_stopped(self) -> None:
        print(
            f"stopped after {len(self._records)} epochs; their metrics are in {self._folder.path}",
            file=sys.stderr,
        )


def run(
    config: TrainConfig, dataset: Dataset, similarity: Tensor | None, out: Path
) -> dict[str, object]:
    """Train as configured and leave the results in a folder: see `Run`.

    Returns:
        The summary, as summary.json holds it.
    """
    one = Run(config, dataset, similarity, out)
    for _ in one.steps():
        pass
    return one.finish()


def _trainer(
    config: TrainConfig, dataset: Dataset, similarity: Tensor | None, device: torch.device
) -> Trainer:
    speedups = Speedups.without(config.without)
    precision = Precision(config.amp, device)
    torch.manual_seed(config.seed)
    model = MODELS[config.model](
        dataset.num_classes,
        in_channels=dataset.image_shape[0],
        shortcut=config.shortcut,
        channels_last=speedups.channels_last,
        skip_counters=speedups.skip_counters,
    ).to(device)
    method = METHODS[config.method](similarity, config.soft_weight).to(device)
    body = StepBody(model, method, precision, config.weight_decay, speedups, config.compile)
    return Trainer(
        model,
        method,
        GraphStep(body, CudaGraphRecorder(device)) if config.cuda_graph else EagerStep(body),
        _loader(config, dataset, device, train=True),
        _loader(config, dataset, device, train=False),
        precision,
        epochs=config.epochs,
        lr=config.lr,
    )


def _loader(config: TrainConfig, dataset: Dataset, device: torch.device, train: bool) -> Loader:
    on_gpu, batch_size = device.type == "cuda", config.batch_size
    if on_gpu and not train:
        batch_size = max(batch_size, GPU_EVALUATION_BATCH)
    return LOADERS[config.loader](
        dataset.train if train else dataset.test,
        dataset,
        batch_size=batch_size,
        device=device,
        seed=config.seed,
        augment=train,
        half=on_gpu and config.amp != "off",
        **({"workers": config.workers} if config.workers else {}),
    )


def _typical_rate(records: list[EpochRecord]) -> float:
    """The median of images/s over the epochs; the first, which warms up, counts only if alone."""
    return statistics.median(r.images_per_second for r in records[1:] or records)
