"""The fast loader: one NVIDIA DALI pipeline, run on the GPU or, without one, on the CPU.

Crop, flip, normalisation, cast and layout are DALI's ``crop_mirror_normalize``, one pass over the
pixels. The random part comes from the epoch's plan and is fed in, so that the batches are those of
every other loader, and DALI works ahead of the consumer.
"""

import os
from collections import deque
from collections.abc import Iterator
from itertools import islice

import numpy as np
import torch

from ffdwv_fast.data.augmentation import EpochPlan
from ffdwv_fast.data.dataset import Dataset, ImageSet
from ffdwv_fast.data.loader import Batch, Loader, pad
from ffdwv_fast.errors import InputError

# DALI batches in preparation while the consumer works on earlier ones.
PIECES_AHEAD = 3
# On a CPU, a DALI batch of 1,024 CIFAR images takes twice as long per image as one of 128 or 256,
# and one of 4,096 five times: larger batches are put together from pieces.
CPU_PIECE = 256
# More threads would take cores from a training step on the CPU; on the GPU they have little to do.
MAX_THREADS = 2


def dali_available() -> bool:
    """Whether NVIDIA DALI can be imported."""
    try:
        import nvidia.dali  # noqa: F401
    except (ImportError, OSError):
        return False
    return True


class DaliLoader(Loader):
    """See :class:`ffdwv_fast.data.loader.Loader`.

    Raises:
        InputError: DALI is not installed.
    """

    name = "dali"

    def __init__(self, images: ImageSet, dataset: Dataset, **settings):
        super().__init__(images, dataset, **settings)
        if not dali_available():
            raise InputError(
                "the dali loader needs NVIDIA DALI: pip install 'ffdwv_fast[dali]', "
                "or use --loader gpu or torch"
            )
        on_gpu = self.device.type == "cuda"
        self._padded = pad(images.images, dataset.padding)
        self._piece = self.batch_size if on_gpu else min(self.batch_size, CPU_PIECE)
        self._pipeline = _build_pipeline(self, self._piece)
        self._to_feed: Iterator[dict[str, np.ndarray]] = iter(())
        self._in_flight: deque[dict[str, np.ndarray]] = deque()

    def _batches(self, plan: EpochPlan) -> Iterator[Batch]:
        self._drain()
        n = len(plan.order)
        labels = torch.from_numpy(self.images.labels[plan.order]).to(self.device)
        self._to_feed = self._pipeline_inputs(plan)
        self._schedule(PIECES_AHEAD)
        for start in range(0, n, self.batch_size):
            images = self._take(min(self.batch_size, n - start))
            yield Batch(images, labels[start : start + self.batch_size])

    def _free(self) -> None:
        self._drain()
        del self._pipeline

    def _pipeline_inputs(self, plan: EpochPlan) -> Iterator[dict[str, np.ndarray]]:
        """What the pipeline is fed, piece by piece; no piece reaches over the end of a batch."""
        # DALI multiplies a crop position by 2 padding and rounds: k / (2 padding) is offset k.
        last_offset = np.float32(max(2 * self.dataset.padding, 1))
        crop_y = plan.offset_y[plan.order].astype(np.float32) / last_offset
        crop_x = plan.offset_x[plan.order].astype(np.float32) / last_offset
        mirror = plan.flip[plan.order].astype(np.int32)
        for start in range(0, len(plan.order), self.batch_size):
            end = min(start + self.batch_size, len(plan.order))
            for first in range(start, end, self._piece):
                piece = slice(first, min(first + self._piece, end))
                yield {
                    "images": self._padded[plan.order[piece]],
                    "crop_y": crop_y[piece],
                    "crop_x": crop_x[piece],
                    "mirror": mirror[piece],
                }

    def _schedule(self, pieces: int) -> None:
        for inputs in islice(self._to_feed, pieces):
            for name, values in inputs.items():
                self._pipeline.feed_input(name, values)
            self._pipeline.schedule_run()
            self._in_flight.append(inputs)

    def _take(self, count: int) -> torch.Tensor:
        """The next ``count`` images, [count, C, H, W] in channels_last memory."""
        if count <= self._piece:
            return self._collect()
        shape = (count, *self.images.images.shape[1:])
        batch = torch.empty(shape, dtype=self.dtype).permute(0, 3, 1, 2)
        for part in batch.split(self._piece):
            part.copy_(self._collect())
        return batch

    def _collect(self) -> torch.Tensor:
        """The oldest piece in flight, a [B, C, H, W] view of DALI's [B, H, W, C] memory."""
        on_gpu = self.device.type == "cuda"
        stream = torch.cuda.current_stream(self.device) if on_gpu else None
        (output,) = self._pipeline.outputs(cuda_stream=stream)
        self._in_flight.popleft()
        self._schedule(1)
        return torch.from_dlpack(output.as_tensor()).permute(0, 3, 1, 2)

    def _drain(self) -> None:
        self._to_feed = iter(())
        while self._in_flight:
            self._collect()


def _build_pipeline(loader: DaliLoader, piece: int):
    from nvidia.dali import fn, pipeline_def, types

    on_gpu = loader.device.type == "cuda"

    # exec_dynamic is DALI's default, named because only it lets a consumer keep the outputs.
    # A queue depth of 1 makes a schedule_run one run; several may be in flight all the same.
    @pipeline_def(exec_dynamic=True, prefetch_queue_depth=1)
    def augment():
        # On the CPU the arrays are read in place: _in_flight keeps them alive until then.
        images = fn.external_source(
            name="images", dtype=types.UINT8, ndim=3, layout="HWC", no_copy=not on_gpu
        )
        return fn.crop_mirror_normalize(
            images.gpu() if on_gpu else images,
            crop=loader.images.images.shape[1:3],
            crop_pos_y=fn.external_source(name="crop_y", dtype=types.FLOAT, ndim=0),
            crop_pos_x=fn.external_source(name="crop_x", dtype=types.FLOAT, ndim=0),
            mirror=fn.external_source(name="mirror", dtype=types.INT32, ndim=0),
            mean=[255 * mean for mean in loader.dataset.mean],
            std=[255 * std for std in loader.dataset.std],
            dtype=types.FLOAT16 if loader.dtype == torch.float16 else types.FLOAT,
            output_layout="HWC",
        )

    pipeline = augment(
        batch_size=piece,
        num_threads=min(MAX_THREADS, os.cpu_count() or 1),
        device_id=(loader.device.index or 0) if on_gpu else None,
    )
    pipeline.build()
    return pipeline
