"""The reference loader: a plain PyTorch DataLoader that follows the epoch's plan image by image."""

import signal
from collections.abc import Iterator

import numpy as np
import torch
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from ffdwv_fast.data.augmentation import EpochPlan
from ffdwv_fast.data.dataset import Dataset, ImageSet
from ffdwv_fast.data.loader import Batch, Loader, pad


class AugmentedImages(TorchDataset):
    """One epoch's images: padded, cropped, flipped and normalised by the plan."""

    def __init__(self, images: ImageSet, dataset: Dataset, plan: EpochPlan):
        self.images = images
        self.padding = dataset.padding
        self.mean = np.array(dataset.mean, dtype=np.float32)
        self.std = np.array(dataset.std, dtype=np.float32)
        self.plan = plan

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        """Image ``index`` as float32 [H, W, C], and its label."""
        image = self.images.images[index]
        height, width, _ = image.shape
        y, x = self.plan.offset_y[index], self.plan.offset_x[index]
        image = pad(image, self.padding)[y : y + height, x : x + width]
        if self.plan.flip[index]:
            image = image[:, ::-1]
        return (image / np.float32(255) - self.mean) / self.std, self.images.labels[index]


def _outlive_sigterm(_: int) -> None:
    """Of a worker: Slurm sends SIGTERM to all processes, and the trainer has yet to save.

    A worker ends when it is told to, or within seconds of the trainer's end.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


class TorchLoader(Loader):
    """See :class:`ffdwv_fast.data.loader.Loader`; readable first, fast second.

    Args:
        workers: processes that prepare batches ahead; 0 means in the calling thread.
    """

    name = "torch"

    def __init__(self, images: ImageSet, dataset: Dataset, *, workers: int = 0, **settings):
        super().__init__(images, dataset, **settings)
        self.workers = workers

    def _batches(self, plan: EpochPlan) -> Iterator[Batch]:
        batches = DataLoader(
            AugmentedImages(self.images, self.dataset, plan),
            batch_size=self.batch_size,
            sampler=plan.order.tolist(),
            num_workers=self.workers,
            worker_init_fn=_outlive_sigterm,
            pin_memory=self.device.type == "cuda",
            # Without its own generator, DataLoader draws from torch's global one at every epoch.
            generator=torch.Generator(),
        )
        for images, labels in batches:
            images = images.to(self.device, self.dtype, non_blocking=True)
            labels = labels.to(self.device, non_blocking=True)
            yield Batch(images.permute(0, 3, 1, 2), labels)
