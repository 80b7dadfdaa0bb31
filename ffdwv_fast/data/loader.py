"""What every loader is, and the factory that makes one by name."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch

from ffdwv_fast.data.augmentation import EpochPlan, plain_plan, random_plan
from ffdwv_fast.data.dataset import Dataset, ImageSet
from ffdwv_fast.data.shard import WHOLE, Shard
from ffdwv_fast.devices import resolve_device
from ffdwv_fast.errors import InputError


class Batch(NamedTuple):
    """One batch, on the loader's device, the consumer's to keep.

    Attributes:
        images: float32 or float16 [B, C, H, W] in channels_last memory, (pixel/255 - mean) / std.
        labels: int64 [B].
    """

    images: torch.Tensor
    labels: torch.Tensor


class Loader(ABC):
    """Epochs of batches, each a pure function of (seed, epoch, image index).

    Epochs may be asked for in any order and left before their end, but one begins where another
    ends. Padding is black (pixel 0), added before normalisation. The last batch of an epoch may be
    smaller. Of several processes each has a loader, which gives its part of every batch; a part
    without images comes as an empty batch, so that all see the same number.

    Args:
        images: the images to load.
        dataset: gives mean, std, padding and flip.
        batch_size: images per batch, over all processes, at least one for each.
        device: where the batches are to be.
        seed: of order, crop and flip; 0 to 2**63 - 1.
        augment: random crops and flips; otherwise every image whole.
        shuffle: random order; None means the same as ``augment``.
        half: float16 images instead of float32.
        shard: this process's part.

    Attributes:
        global_batch_size: as given.
        batch_size: how many of these are this process's.

    Raises:
        InputError: a batch size below the number of processes, or a seed out of range.
    """

    name: str

    def __init__(
        self,
        images: ImageSet,
        dataset: Dataset,
        *,
        batch_size: int,
        device: torch.device,
        seed: int,
        augment: bool,
        shuffle: bool | None = None,
        half: bool = False,
        shard: Shard = WHOLE,
    ):
        if batch_size < shard.count:
            each = ", an image for each process" if shard.count > 1 else ""
            raise InputError(f"batch size {batch_size}: expected {shard.count} or more{each}")
        self.images = images
        self.dataset = dataset
        self.global_batch_size = batch_size
        self.batch_size = shard.size(batch_size)
        self.shard = shard
        self.device = device
        self.seed = seed
        self.augment = augment
        self.shuffle = augment if shuffle is None else shuffle
        self.dtype = torch.float16 if half else torch.float32
        self._is_closed = False
        self._running: object = None
        self.plan(0)

    @property
    def images_per_epoch(self) -> int:
        """How many images an epoch has, over all processes: all of them, once each."""
        return len(self.images)

    @property
    def batches_per_epoch(self) -> int:
        """How many batches an epoch has, the smaller last one included."""
        return -(-len(self.images) // self.global_batch_size)

    def images_in(self, batch: int) -> int:
        """How many images a batch of an epoch has, from 0, over all processes."""
        return min(self.global_batch_size, len(self.images) - batch * self.global_batch_size)

    def blank_batch(self, size: int) -> Batch:
        """A batch as the epochs have them, but black, its labels 0."""
        height, width, channels = self.images.images.shape[1:]
        shape = (size, height, width, channels)
        images = torch.zeros(shape, dtype=self.dtype, device=self.device).permute(0, 3, 1, 2)
        return Batch(images, torch.zeros(size, dtype=torch.int64, device=self.device))

    def plan(self, epoch: int) -> EpochPlan:
        """Order, crop and flip of an epoch's images, over all processes.

        Raises:
            InputError: epoch is not an integer from 0 to 2**63 - 1.
        """
        n, padding = len(self.images), self.dataset.padding
        if not self.augment:
            return plain_plan(self.seed, epoch, n, padding=padding, shuffle=self.shuffle)
        return random_plan(
            self.seed, epoch, n, padding=padding, flip=self.dataset.flip, shuffle=self.shuffle
        )

    def epoch(self, epoch: int, first: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, see :class:`Batch`; finish or leave it before the next.

        Args:
            epoch: which, from 0.
            first: the batch to begin with, from 0; what comes is the same as without.

        Raises:
            InputError: epoch is not an integer from 0 to 2**63 - 1.
            RuntimeError: the loader is closed; on taking a batch, that the loader was closed or
                has begun another epoch.
        """
        self._refuse_if_closed()
        plan = self.plan(epoch)
        order = plan.order[first * self.global_batch_size :]
        own = replace(plan, order=self.shard.of(order, self.global_batch_size))
        has_empty = 0 < len(order) % self.global_batch_size <= self.shard.rank
        return self._while_running(own, [self.blank_batch(0)] if has_empty else [])

    def _while_running(self, plan: EpochPlan, last: list[Batch]) -> Iterator[Batch]:
        self._refuse_if_closed()
        this_epoch = self._running = object()
        for batch in chain(self._batches(plan), last):
            yield batch
            if self._running is not this_epoch:
                raise RuntimeError("this epoch ended when the loader started another or was closed")

    def _refuse_if_closed(self) -> None:
        if self._is_closed:
            raise RuntimeError("this loader is closed: make another with make_loader()")

    @abstractmethod
    def _batches(self, plan: EpochPlan) -> Iterator[Batch]:
        """The batches that the plan describes: its order may be a part of an epoch's."""

    def close(self) -> None:
        """Free what the loader holds; calling it twice is fine, asking for an epoch no longer."""
        self._running = None
        if not self._is_closed:
            self._is_closed = True
            self._free()

    def _free(self) -> None:  # noqa: B027 - not every loader holds something
        """Give up what the loader holds; called once."""


def pad(images: np.ndarray, padding: int) -> np.ndarray:
    """Images [..., H, W, C] with ``padding`` black pixels on every side of H and W."""
    around = [(0, 0)] * (images.ndim - 3) + [(padding, padding), (padding, padding), (0, 0)]
    return np.pad(images, around)


def _torch_loader(*args, **kwargs) -> Loader:
    from ffdwv_fast.data.torch_loader import TorchLoader

    return TorchLoader(*args, **kwargs)


def _dali_loader(*args, **kwargs) -> Loader:
    from ffdwv_fast.data.dali_loader import DaliLoader

    return DaliLoader(*args, **kwargs)


def _gpu_loader(*args, **kwargs) -> Loader:
    from ffdwv_fast.data.gpu_loader import GpuLoader

    return GpuLoader(*args, **kwargs)


LOADERS: dict[str, Callable[..., Loader]] = {
    "dali": _dali_loader,
    "gpu": _gpu_loader,
    "torch": _torch_loader,
}


def make_loader(
    kind: str,
    images: ImageSet,
    dataset: Dataset,
    *,
    batch_size: int,
    device: torch.device | str,
    seed: int,
    augment: bool,
    shuffle: bool | None = None,
    half: bool = False,
    workers: int = 0,
    shard: Shard = WHOLE,
) -> Loader:
    """Make a loader; all kinds yield the same batches.

    Args:
        kind: a name in :data:`LOADERS`.
        images: the images to load, ``dataset.train`` or ``dataset.test``.
        dataset: gives mean, std, padding and flip.
        batch_size: images per batch, over all processes, at least one for each.
        device: "cpu", "cuda" or "cuda:N"; "auto": a GPU if there is one, else the CPU.
        seed: of order, crop and flip; 0 to 2**63 - 1.
        augment: random crops and flips; otherwise every image whole.
        shuffle: random order; None means the same as ``augment``.
        half: float16 images instead of float32.
        workers: processes that prepare batches for the torch loader, 0 or more; 0: the caller's
            own. The other loaders have none.
        shard: the part of every batch that this process has, where several train together.

    Raises:
        InputError: an unknown kind, a loader whose library is missing, a device that this
            machine lacks, a batch size below the number of processes, a seed out of range, or
            workers for a loader that has none.
    """
    if kind not in LOADERS:
        raise InputError(f"loader {kind!r}: expected one of {', '.join(LOADERS)}")
    if workers < 0:
        raise InputError(f"workers {workers}: expected 0 or more")
    if workers and kind != "torch":
        raise InputError(f"workers {workers}: the {kind} loader has none; use 0, or loader torch")
    return LOADERS[kind](
        images,
        dataset,
        batch_size=batch_size,
        device=resolve_device(device),
        seed=seed,
        augment=augment,
        shuffle=shuffle,
        half=half,
        shard=shard,
        **({"workers": workers} if workers else {}),
    )
