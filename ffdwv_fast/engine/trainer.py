"""The loop over epochs."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from ffdwv_fast.data.loader import Loader
from ffdwv_fast.engine import distributed
from ffdwv_fast.engine.evaluate import predictions
from ffdwv_fast.engine.final_metrics import top_k_error
from ffdwv_fast.engine.metrics import EpochMetrics, MetricSums
from ffdwv_fast.engine.precision import Precision
from ffdwv_fast.engine.schedule import learning_rate
from ffdwv_fast.engine.step import Step
from ffdwv_fast.engine.stopwatch import Stopwatch
from ffdwv_fast.errors import InputError
from ffdwv_fast.methods import Method
from ffdwv_fast.models.peers import members


class EpochRecord(NamedTuple):
    """One epoch, as a line of metrics.jsonl holds it; errors in percent.

    Attributes:
        epoch: from 1.
        lr: learning rate of the epoch.
        train_loss: mean over the epoch's images, each when its batch was trained on.
        train_ce: the cross-entropy in it.
        train_kl: the soft-target term in it, before its weight; None for methods without.
        train_error: top-1 error on the augmented training images.
        test_error: top-1 error on the test set, after the epoch; None where a validation set
            stands in for it, and after epochs without evaluation.
        images_per_second: training images over training time, evaluation left out.
        validation_error: the same on the validation set; None without one.
        skipped_steps: updates left out as a float16 gradient overflowed; None without loss scaling.
        peer_error: what the second network has, of methods that train two; the training metrics
            above but the loss, which is the sum of theirs, are the first one's. None for others.
    """

    epoch: int
    lr: float
    train_loss: float
    train_ce: float
    train_kl: float | None
    train_error: float
    test_error: float | None
    images_per_second: float
    validation_error: float | None = None
    peer_error: float | None = None
    skipped_steps: int | None = None

    @property
    def evaluated_error(self) -> tuple[str, float] | None:
        """What the network was evaluated on, "test" or "validation", and its error there, if so."""
        errors = {"test": self.test_error, "validation": self.validation_error}
        return next(((name, error) for name, error in errors.items() if error is not None), None)


class StepListener(Protocol):
    """Who wants to know of every step."""

    def step(self, images: int, sums: MetricSums) -> None:
        """A batch of so many images has been trained on; sums are those of the epoch so far."""


class Trainer:
    """Trains a network by a method.

    Args:
        model: the network, on its device, or `Peers`.
        method: the loss, on the same device.
        step: takes the steps, on that network and method.
        train_loader: augmented training batches.
        test_loader: batches to evaluate on.
        precision: mixed precision.
        epochs: how many.
        lr: learning rate of the first epoch; see `learning_rate` for the rest.
        soft_weights: the method's soft weight in each epoch, for steps that are no CUDA graph; None
            leaves it as it is.
        evaluated_on: "test" or "validation": what the batches to evaluate on are.
        evaluate_every: epochs from one evaluation to the next; after the last there is one always.
        check_every_step: stop at the step whose loss is not finite, not at the end of its epoch.
            Only where reading waits for nothing: on the CPU.

    Attributes:
        epoch: epochs that have ended.
        batch: steps that have been taken of the one that goes on.
        predictions: logits [N, C] and labels [N] of the last evaluation, of the first network; None
            before it.
        stopwatch: where the host's time has gone: preparation, data, step, evaluation.
    """

    def __init__(
        self,
        model: nn.Module,
        method: Method,
        step: Step,
        train_loader: Loader,
        test_loader: Loader,
        precision: Precision,
        *,
        epochs: int,
        lr: float,
        soft_weights: Sequence[float] | None = None,
        evaluated_on: str = "test",
        evaluate_every: int = 1,
        check_every_step: bool = False,
    ):
        self.model = model
        self.method = method
        self.step = step
        self.train_loader = train_loader
        self.test_loader = test_loader
        self.precision = precision
        self.total_epochs = epochs
        self.lr = lr
        self.soft_weights = soft_weights
        self.evaluated_on = evaluated_on
        self.evaluate_every = evaluate_every
        self.check_every_step = check_every_step
        self.epoch, self.batch = 0, 0
        self._epoch_start = 0.0
        self._seconds_before = 0.0  # of the epoch that goes on, in an earlier process
        self.predictions: tuple[Tensor, Tensor] | None = None
        self.stopwatch = Stopwatch()

    def prepare(self) -> None:
        """Make the step ready for every size of batch; `train` may be called without."""
        self.model.train()
        with self.stopwatch.on("preparation"):
            for size in batch_sizes(self.train_loader):
                self.step.prepare(self.train_loader.blank_batch(size))

    def try_step(self, images: int) -> None:
        """Take a step on so many black images, and undo it.

        Raises:
            torch.OutOfMemoryError: they do not fit into the GPU's memory.
        """
        body = self.step.body
        with body.kept():
            body(*self.train_loader.blank_batch(images))
            self.step.sums.read()  # waits for the device

    def train(self, listener: StepListener) -> Iterator[EpochRecord | None]:
        """Train on, giving None after each step and a record after each epoch.

        It begins where `epoch` and `batch` are.

        Raises:
            InputError: the loss has become infinite or NaN.
        """
        self.model.train()
        while self.epoch < self.total_epochs:
            rate = self._rate()
            self._epoch_start = time.perf_counter() - self._seconds_before
            yield from self._steps(rate, listener)
            with self.stopwatch.on("step"):
                train = self.checked_metrics()  # waits for the device
            seconds = time.perf_counter() - self._epoch_start
            self.epoch, self.batch, self._seconds_before = self.epoch + 1, 0, 0.0
            yield self._record(rate, train, seconds)

    def checked_metrics(self) -> EpochMetrics:
        """Those of the epoch that goes on, so far; waits for the device and the other processes.

        Raises:
            InputError: the loss has become infinite or NaN.
        """
        metrics = self.step.sums.read()
        if not math.isfinite(metrics.loss):
            when = f"at step {self.batch}" if self.check_every_step else f"by step {self.batch}"
            raise InputError(
                f"the training loss became {metrics.loss} {when} of epoch {self.epoch + 1} at "
                f"learning rate {self._rate():g}; try a lower --lr, or --amp off"
            )
        return metrics

    def state(self) -> tuple[dict[str, Tensor], dict[str, object]]:
        """Where training is, to go on from exactly: tensors, and what JSON holds.

        Several processes have to ask together. They differ in their sums alone, of which a row for
        each is among the tensors.
        """
        begun = self.batch > 0
        state = {
            "epoch": self.epoch,
            "batch": self.batch,
            "images": self.step.sums.images if begun else 0,
            "epoch_seconds": time.perf_counter() - self._epoch_start if begun else 0.0,
            "scaler": self.precision.scaler.state_dict(),
        }
        tensors = self.step.body.tensors()
        return {**tensors, "sums": distributed.gathered(tensors["sums"])}, state

    def load(self, tensors: Mapping[str, Tensor], state: Mapping[str, object]) -> None:
        """Go on from what `state` has given, perhaps in other processes, and in more or fewer.

        Raises:
            ValueError: it is of another network.
        """
        self.step.body.load({**tensors, "sums": _own_sums(tensors["sums"])})
        self.epoch, self.batch = state["epoch"], state["batch"]
        self.step.sums.images = state["images"]
        self._seconds_before = state["epoch_seconds"]
        self._epoch_start = time.perf_counter() - self._seconds_before  # if saved before a step
        if state["scaler"]:
            self.precision.scaler.load_state_dict(state["scaler"])

    def evaluate(self) -> list[float]:
        """Of each network that is trained, the top-1 error in percent; sets `predictions`."""
        with self.stopwatch.on("evaluation"):
            found = [
                predictions(network, self.test_loader, self.precision)
                for network in members(self.model)
            ]
            self.predictions = found[0]
            return [top_k_error(*one, k=1) for one in found]

    def _rate(self) -> float:
        return learning_rate(self.lr, self.epoch, self.total_epochs)

    def _record(self, rate: float, train: EpochMetrics, seconds: float) -> EpochRecord:
        """Of the epoch that has just ended, evaluated if it is its turn."""
        due = self.epoch % self.evaluate_every == 0 or self.epoch == self.total_epochs
        error, *peers = self.evaluate() if due else [None]
        return EpochRecord(
            epoch=self.epoch,
            lr=rate,
            train_loss=train.loss,
            train_ce=train.ce,
            train_kl=train.kl if self.method.has_soft_term else None,
            train_error=train.error,
            test_error=error if self.evaluated_on == "test" else None,
            images_per_second=self.train_loader.images_per_epoch / seconds,
            validation_error=error if self.evaluated_on == "validation" else None,
            peer_error=peers[0] if peers else None,
            skipped_steps=train.skipped if self.precision.scaler.is_enabled() else None,
        )

    def _steps(self, rate: float, listener: StepListener) -> Iterator[None]:
        if self.batch == 0:
            self.step.begin_epoch(rate)
        else:
            self.step.body.set_learning_rate(rate)
        if self.soft_weights is not None:
            self.method.soft_weight = self.soft_weights[self.epoch]
        batches = self.train_loader.epoch(self.epoch, self.batch)
        while True:
            with self.stopwatch.on("data"):
                batch = next(batches, None)
            if batch is None:
                return
            images = self.train_loader.images_in(self.batch)
            with self.stopwatch.on("step"):
                self.step(batch, images)
            self.batch += 1
            if self.check_every_step:
                self.checked_metrics()
            listener.step(images, self.step.sums)
            yield None


def batch_sizes(loader: Loader) -> list[int]:
    """The sizes of an epoch's batches, each once, the largest first; of this process's part.

    All processes have the same number of them, as they take these steps together.
    """
    full, rest = divmod(loader.images_per_epoch, loader.global_batch_size)
    return [loader.batch_size] * (full > 0) + [loader.shard.size(rest)] * (rest > 0)


def _own_sums(sums: Tensor) -> Tensor:
    """This process's [5] of the sums [processes, 5] of perhaps another number of processes."""
    if len(sums) == distributed.world_size():
        return sums[distributed.rank()]
    return sums.sum(dim=0) if distributed.is_first() else torch.zeros_like(sums[0])
