"""A data set in the memory of the device, for tests of the loop around the steps."""

import numpy as np
import torch

from ffdwv_fast.data.augmentation import EpochPlan
from ffdwv_fast.data.dataset import Dataset, ImageSet
from ffdwv_fast.data.loader import Batch, Loader


def small_dataset(n: int = 23) -> Dataset:
    """n random images of 8 x 8 pixels to train on and as many to test with."""
    generator = np.random.default_rng(0)

    def images() -> ImageSet:
        pixels = generator.integers(0, 256, (n, 8, 8, 1), dtype=np.uint8)
        return ImageSet(pixels, generator.integers(0, 10, n))

    return Dataset(
        name="small",
        class_names=tuple("abcdefghij"),
        train=images(),
        test=images(),
        mean=(0.5,),
        std=(0.25,),
        padding=1,
        flip=False,
    )


class ResidentLoader(Loader):
    """Slices of tensors that are on the device from the start."""

    name = "resident"

    def __init__(self, images: ImageSet, dataset: Dataset, **settings):
        super().__init__(images, dataset, **settings)
        pixels = torch.from_numpy(images.images).to(self.device, self.dtype)
        self._pixels = (pixels / 255).permute(0, 3, 1, 2)
        self._labels = torch.from_numpy(images.labels).to(self.device)

    def _batches(self, plan: EpochPlan):
        for start in range(0, len(plan.order), self.batch_size):
            part = torch.from_numpy(plan.order[start : start + self.batch_size])
            yield Batch(self._pixels[part], self._labels[part])
