"""One training step."""

import torch
from torch import nn

from ffdwv_fast.data.loader import Batch
from ffdwv_fast.engine.metrics import MetricSums
from ffdwv_fast.engine.precision import Precision
from ffdwv_fast.methods import Method

MOMENTUM = 0.9


class EagerStep:
    """Forward, loss, backward and update, launched operator by operator.

    Args:
        model: the network.
        method: the loss.
        precision: mixed precision.
        weight_decay: of every parameter, as in the paper's lineage.
    """

    def __init__(self, model: nn.Module, method: Method, precision: Precision, weight_decay: float):
        self.model = model
        self.method = method
        self.precision = precision
        self.optimizer = torch.optim.SGD(
            model.parameters(),
            lr=0.0,  # set anew for each step
            momentum=MOMENTUM,
            nesterov=True,
            weight_decay=weight_decay,
            fused=True,
        )

    def __call__(self, batch: Batch, learning_rate: float, sums: MetricSums) -> None:
        """Take one step on a batch and add its losses to the sums; waits for nothing."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        with self.precision.autocast():
            loss, parts = self.method(self.model(batch.images), batch.labels)
        scaler = self.precision.scaler
        scaler.scale(loss).backward()
        scaler.step(self.optimizer)
        scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        sums.add(loss, parts, len(batch.labels))
