"""Evaluation on a data set."""

import torch
from torch import Tensor, nn

from ffdwv_fast.data.loader import Loader
from ffdwv_fast.engine.precision import Precision


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
