"""Evaluation on a data set."""

import torch
from torch import Tensor, nn

from ffdwv_fast.data.loader import Loader
from ffdwv_fast.engine.metrics import EpochMetrics, MetricSums
from ffdwv_fast.engine.precision import Precision
from ffdwv_fast.methods import Method


@torch.inference_mode()
def evaluate(
    model: nn.Module, method: Method, loader: Loader, precision: Precision
) -> EpochMetrics:
    """Mean losses and top-1 error of a network over a loader's images, in evaluation mode.

    The mode the network was in is restored.
    """
    was_training = model.training
    model.eval()
    sums = MetricSums(loader.device)
    for images, labels in loader.epoch(0):
        with precision.autocast():
            loss, parts = method(model(images), labels)
        sums.add(loss, parts, len(labels))
    model.train(was_training)
    return sums.read()


@torch.inference_mode()
def predictions(model: nn.Module, loader: Loader, precision: Precision) -> tuple[Tensor, Tensor]:
    """A network's logits [N, C] on a loader's images, in evaluation mode, and the labels [N].

    Both stay on the loader's device. The mode the network was in is restored.
    """
    was_training = model.training
    model.eval()
    logits, labels = [], []
    for batch in loader.epoch(0):
        with precision.autocast():
            logits.append(model(batch.images))
        labels.append(batch.labels)
    model.train(was_training)
    return torch.cat(logits), torch.cat(labels)
