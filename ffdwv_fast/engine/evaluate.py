"""Evaluation on a data set."""

import numpy as np
import torch
from torch import Tensor, nn

from ffdwv_fast.data.loader import Loader
from ffdwv_fast.engine import distributed
from ffdwv_fast.engine.precision import Precision


@torch.inference_mode()
def predictions(model: nn.Module, loader: Loader, precision: Precision) -> tuple[Tensor, Tensor]:
    """A network's logits [N, C] on a loader's images, in evaluation mode, and the labels [N].

    Both stay on the loader's device. The mode the network was in is restored. Several processes
    share the work, with the running statistics of rank 0, and each has the result.
    """
    distributed.copy_from_first(model.buffers())
    was_training = model.training
    model.eval()
    logits, labels = [], []
    for batch in loader.epoch(0):
        with precision.autocast():
            logits.append(model(batch.images))
        labels.append(batch.labels)
    model.train(was_training)
    images = loader.images_per_epoch
    own = torch.from_numpy(loader.shard.of(np.arange(images), loader.global_batch_size))
    return (
        distributed.assembled(torch.cat(logits), own, images),
        distributed.assembled(torch.cat(labels), own, images),
    )
