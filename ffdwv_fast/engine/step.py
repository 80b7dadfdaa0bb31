"""One training step: how it is launched."""

from abc import ABC, abstractmethod

from ffdwv_fast.data.loader import Batch
from ffdwv_fast.engine import distributed
from ffdwv_fast.engine.metrics import MetricSums
from ffdwv_fast.engine.step_body import StepBody


class Step(ABC):
    """Takes steps, each on a batch; waits for nothing.

    Args:
        body: what a step computes.

    Attributes:
        body: as given.
        sums: losses and correct predictions since the last `begin_epoch`.
    """

    def __init__(self, body: StepBody):
        self.body = body

    @property
    def sums(self) -> MetricSums:
        return self.body.sums

    def prepare(self, batch: Batch) -> None:  # noqa: B027 - most steps need none
        """Make ready for batches like this one in shape and dtype; its values do not matter.

        Called before the first epoch for each size of batch that will come, so that no epoch pays
        for it. Changes nothing that a step changes.
        """

    def begin_epoch(self, learning_rate: float) -> None:
        """Set the learning rate of the steps to come and begin new sums."""
        self.body.set_learning_rate(learning_rate)
        self.body.sums.reset()

    @abstractmethod
    def __call__(self, batch: Batch, images: int | None = None) -> None:
        """Take one step on a batch and add its losses to the sums.

        Args:
            batch: this process's part of the batch.
            images: how many the whole batch has; None: it is the whole.
        """


class EagerStep(Step):
    """Launches operator by operator."""

    def prepare(self, batch: Batch) -> None:
        # After its first step DistributedDataParallel puts the gradients into another order, on
        # which the rounding of their sums depends: a run that is gone on with must have it too.
        if self.body.compiled or distributed.world_size() > 1:  # else there is nothing to prepare
            with self.body.kept():
                self.body(batch.images, batch.labels)

    def __call__(self, batch: Batch, images: int | None = None) -> None:
        images = len(batch.labels) if images is None else images
        self.body(batch.images, batch.labels, images)
        self.sums.count(images)
