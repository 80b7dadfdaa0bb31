"""The loop over epochs."""

import time
from collections.abc import Iterator
from typing import NamedTuple, Protocol

import torch
from torch import nn

from ffdwv_fast.data.loader import Loader
from ffdwv_fast.engine.evaluate import evaluate
from ffdwv_fast.engine.metrics import EpochMetrics, MetricSums
from ffdwv_fast.engine.precision import Precision
from ffdwv_fast.engine.schedule import learning_rate
from ffdwv_fast.engine.step import EagerStep
from ffdwv_fast.errors import InputError
from ffdwv_fast.methods import Method


class EpochRecord(NamedTuple):
    """One epoch, as a line of metrics.jsonl holds it; errors in percent.

    Attributes:
        epoch: from 1.
        lr: learning rate of the epoch.
        train_loss: mean over the epoch's images, each when its batch was trained on.
        train_ce: the cross-entropy in it.
        train_kl: the soft-target term in it, before its weight; None for methods without.
        train_error: top-1 error on the augmented training images.
        test_error: top-1 error on the test set, after the epoch.
        images_per_second: training images over training time, evaluation left out.
    """

    epoch: int
    lr: float
    train_loss: float
    train_ce: float
    train_kl: float | None
    train_error: float
    test_error: float
    images_per_second: float


class StepListener(Protocol):
    """Who wants to know of every step."""

    def step(self, images: int, sums: MetricSums) -> None:
        """A batch of so many images has been trained on; sums are those of the epoch so far."""


class Trainer:
    """Trains a network by a method.

    Args:
        model: the network, on its device.
        method: the loss, on the same device.
        train_loader: augmented training batches.
        test_loader: test batches.
        precision: mixed precision.
        epochs: how many.
        lr: learning rate of the first epoch; see `learning_rate` for the rest.
        weight_decay: of every parameter.
    """

    def __init__(
        self,
        model: nn.Module,
        method: Method,
        train_loader: Loader,
        test_loader: Loader,
        precision: Precision,
        *,
        epochs: int,
        lr: float,
        weight_decay: float,
    ):
        self.model = model
        self.method = method
        self.train_loader = train_loader
        self.test_loader = test_loader
        self.precision = precision
        self.total_epochs = epochs
        self.lr = lr
        self.step = EagerStep(model, method, precision, weight_decay)

    def epochs(self, listener: StepListener) -> Iterator[EpochRecord]:
        """Train, giving a record after each epoch.

        Raises:
            InputError: the loss has become infinite or NaN.
        """
        for epoch in range(self.total_epochs):
            rate = learning_rate(self.lr, epoch, self.total_epochs)
            train, seconds = self._train(epoch, rate, listener)
            if not torch.isfinite(torch.tensor(train.loss)):
                raise InputError(
                    f"the training loss became {train.loss} in epoch {epoch + 1} at learning rate "
                    f"{rate:g}; try a lower --lr, or --amp off"
                )
            test = evaluate(self.model, self.method, self.test_loader, self.precision)
            yield EpochRecord(
                epoch=epoch + 1,
                lr=rate,
                train_loss=train.loss,
                train_ce=train.ce,
                train_kl=train.kl if self.method.needs_similarity else None,
                train_error=train.error,
                test_error=test.error,
                images_per_second=self.train_loader.images_per_epoch / seconds,
            )

    def _train(self, epoch: int, rate: float, listener: StepListener) -> tuple[EpochMetrics, float]:
        self.model.train()
        sums = MetricSums(self.train_loader.device)
        start = time.perf_counter()
        for batch in self.train_loader.epoch(epoch):
            self.step(batch, rate, sums)
            listener.step(len(batch.labels), sums)
        metrics = sums.read()  # waits for the device: the time below is the whole of it
        return metrics, time.perf_counter() - start
