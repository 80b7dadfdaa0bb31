"""The resident loader: the set lies on the device as uint8, and one kernel makes a batch of it.

Once per epoch the plan is copied to the device; after that the host does nothing but launch. On a
CPU the kernel's twin does the same, on torch's threads.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ffdwv_fast.data.augmentation import EpochPlan
from ffdwv_fast.data.dataset import Dataset, ImageSet
from ffdwv_fast.data.image_op import augment_images, why_not_on
from ffdwv_fast.data.loader import Batch, Loader
from ffdwv_fast.errors import InputError


class GpuLoader(Loader):
    """See :class:`ffdwv_fast.data.loader.Loader`; on a GPU, take an epoch's batches on one stream.

    Its pixels are those of the torch loader to the bit, in float16 too.

    Raises:
        InputError: the native library cannot be used on the device, the images do not fit into its
            memory, or they are not what the kernel is made for.
    """

    name = "gpu"

    def __init__(self, images: ImageSet, dataset: Dataset, **settings):
        super().__init__(images, dataset, **settings)
        reason = why_not_on(self.device)
        if reason is not None:
            raise InputError(f"the gpu loader: {reason}; or use --loader torch")
        self._resident = self._upload(images.images)
        self._labels = self._upload(images.labels)
        self._refuse_unfit()

    def _batches(self, plan: EpochPlan) -> Iterator[Batch]:
        order, crops = self._to_device(plan)
        labels = self._labels[order]
        for start in range(0, len(plan.order), self.batch_size):
            piece = slice(start, start + self.batch_size)
            images = self._augment(order[piece], *crops[:, piece])
            yield Batch(images, labels[piece])

    def _augment(self, index: Tensor, offset_y: Tensor, offset_x: Tensor, flip: Tensor) -> Tensor:
        mean, std, padding = self.dataset.mean, self.dataset.std, self.dataset.padding
        return augment_images(
            self._resident, index, offset_y, offset_x, flip, mean, std, padding, self.dtype
        )

    def _to_device(self, plan: EpochPlan) -> tuple[Tensor, Tensor]:
        """The order, int32 [N], and uint8 [3, N]: offset_y, offset_x and flip in that order."""
        parts = (plan.offset_y, plan.offset_x, plan.flip)
        crops = torch.from_numpy(np.stack([part[plan.order].astype(np.uint8) for part in parts]))
        order = torch.from_numpy(plan.order.astype(np.int32))
        if self.device.type == "cuda":
            # Pinned memory, which torch keeps until the copy is done.
            order, crops = order.pin_memory(), crops.pin_memory()
        return (
            order.to(self.device, non_blocking=True),
            crops.to(self.device, non_blocking=True),
        )

    def _upload(self, values: np.ndarray) -> Tensor:
        try:
            return torch.from_numpy(np.ascontiguousarray(values)).to(self.device)
        except torch.cuda.OutOfMemoryError:
            free = torch.cuda.mem_get_info(self.device)[0]
            raise InputError(
                f"the gpu loader: {values.nbytes:,} bytes of images do not fit into the "
                f"{free:,} bytes that are free on {self.device}; use --loader dali or torch, "
                "which keep them in the host's memory, or a smaller --train-limit"
            ) from None

    def _refuse_unfit(self) -> None:
        """Ask the op for no images at all: what it checks does not depend on how many."""
        try:
            none = torch.empty(4, 0, dtype=torch.uint8, device=self.device)
            self._augment(none[0].int(), *none[1:])
        except ValueError as error:
            raise InputError(f"the gpu loader: {error}; use --loader torch") from None

    def _free(self) -> None:
        del self._resident, self._labels
