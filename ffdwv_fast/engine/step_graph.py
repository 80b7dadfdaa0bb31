"""The training step as one CUDA graph: a launch instead of a thousand."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ffdwv_fast.data.loader import Batch
from ffdwv_fast.engine.step import Step
from ffdwv_fast.engine.step_body import StepBody
from ffdwv_fast.errors import InputError

WARM_UPS = 3  # what lazily initialises itself has done so by then, torch.compile included


class Recorder:
    """Records by keeping the call: the twin that runs on a CPU, where there are no graphs."""

    def warm_up(self, call: Callable[[], None]) -> None:
        """Call it as often as it takes before a recording."""
        for _ in range(WARM_UPS):
            call()

    def record(self, call: Callable[[], None]) -> Callable[[], None]:
        """What repeats the call, which itself is not run."""
        return call


class CudaGraphRecorder(Recorder):
    """Records what a call launches on a GPU.

    Warm-up and capture have a stream of their own, which no other recorder uses: cuBLAS keeps a
    workspace for each stream, and graphs that share one must not run at the same time. All graphs
    of a recorder share their memory, so of these too only one may run at a time.

    Args:
        device: the GPU.
    """

    def __init__(self, device: torch.device):
        self._stream = torch.cuda.Stream(device)
        self._pool = torch.cuda.graph_pool_handle()

    def warm_up(self, call: Callable[[], None]) -> None:
        current = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            super().warm_up(call)
        current.wait_stream(self._stream)

    def record(self, call: Callable[[], None]) -> Callable[[], None]:
        graph = torch.cuda.CUDAGraph()
        # In the default mode a CUDA call of another thread, such as DALI's, breaks the capture.
        mode = "thread_local"
        try:
            with torch.cuda.graph(graph, self._pool, self._stream, capture_error_mode=mode):
                call()
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            reason = (str(error).splitlines() or [""])[0]
            raise InputError(
                f"--cuda-graph on: the step cannot be captured ({reason}); use --cuda-graph off"
            ) from error
        return graph.replay


def graph_wanted(
    asked: str,
    device: torch.device,
    fused_optimizer: bool,
    fixed_loss: bool = True,
    processes: int = 1,
) -> bool:
    """Whether the step is to be a CUDA graph.

    Args:
        asked: "on", "off" or "auto": wherever there can be one.
        device: where the network is.
        fused_optimizer: whether that is on: the others wait for the learning rate.
        fixed_loss: whether the loss stays the same from epoch to epoch. The op takes the soft
            weight as a number, which a recording keeps: with a schedule steps are taken eagerly.
        processes: that train together; of more than one, steps are taken eagerly.

    Raises:
        InputError: "on" where there can be none.
    """
    if asked == "on" and device.type != "cuda":
        raise InputError(
            f"--cuda-graph on: there are none on device {device}; use auto or off, or a GPU"
        )
    if asked == "on" and not fused_optimizer:
        raise InputError(
            "--cuda-graph on does not go with --without fused-optimizer: the other optimizer waits "
            "for the learning rate; leave one of them out"
        )
    if asked == "on" and not fixed_loss:
        raise InputError(
            "--cuda-graph on does not go with a --soft-weight-schedule: a graph keeps the weight "
            "that it was recorded with; use --cuda-graph auto, which then takes eager steps"
        )
    if asked == "on" and processes > 1:
        raise InputError(
            f"--cuda-graph on does not go with {processes} processes: their steps are taken "
            "eagerly; use auto or off"
        )
    if processes > 1:
        return False
    return asked != "off" and device.type == "cuda" and fused_optimizer and fixed_loss


class _Recording(NamedTuple):
    """The buffers that a recorded step reads, and what runs it."""

    images: Tensor
    labels: Tensor
    replay: Callable[[], None]


class GraphStep(Step):
    """Plays a recorded step again: a recording for each size of batch, the last one's too.

    For a process that trains alone.

    A batch is copied into the recording's buffers. The learning rate, the loss scale and the
    momentum are tensors that every recording reads.

    Args:
        body: what a step computes.
        recorder: a CudaGraphRecorder, or its twin.
    """

    def __init__(self, body: StepBody, recorder: Recorder):
        super().__init__(body)
        self._recorder = recorder
        self._recordings: dict[int, _Recording] = {}

    def prepare(self, batch: Batch) -> None:
        if len(batch.labels) not in self._recordings:
            self._recordings[len(batch.labels)] = self._record(batch)

    def __call__(self, batch: Batch, images: int | None = None) -> None:
        self.prepare(batch)
        size = len(batch.labels)
        recording = self._recordings[size]
        recording.images.copy_(batch.images, non_blocking=True)
        recording.labels.copy_(batch.labels, non_blocking=True)
        recording.replay()
        self.sums.count(size)

    def _record(self, batch: Batch) -> _Recording:
        images, labels = (t.detach().clone() for t in batch)

        def call() -> None:
            self.body(images, labels)

        with self.body.kept():
            self._recorder.warm_up(call)
        return _Recording(images, labels, self._recorder.record(call))
