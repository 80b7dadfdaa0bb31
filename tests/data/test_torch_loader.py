"""What only the PyTorch loader can get wrong."""

import pytest
import torch

from ffdwv_fast.data.torch_loader import TorchLoader
from tests.data.samples import cifar_like


@pytest.mark.parametrize("workers", [1, 2])
def test_worker_processes_change_nothing(workers):
    dataset = cifar_like(100)
    settings = {"batch_size": 16, "device": torch.device("cpu"), "seed": 0, "augment": True}
    alone = TorchLoader(dataset.train, dataset, **settings)
    helped = TorchLoader(dataset.train, dataset, workers=workers, **settings)
    for a, b in zip(alone.epoch(2), helped.epoch(2), strict=True):
        assert torch.equal(a.images, b.images)
        assert torch.equal(a.labels, b.labels)
