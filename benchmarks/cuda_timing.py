"""Device time on a GPU: replays of a CUDA graph, or events where there can be no graph."""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar

import torch

from benchmarks.hardware import last_level_cache

T = TypeVar("T")

# About a millisecond: what a graph of a thousand kernels takes to launch.
_CYCLES_THAT_HIDE_A_LAUNCH = 2_000_000
NOT_CAPTURABLE = "it asks the device for a number, which a graph cannot"


@contextmanager
def one_stream(device: torch.device) -> Iterator[None]:
    """A stream of its own for inputs, warm-up and capture; on a CPU nothing.

    Autograd runs a backward pass on the stream of the forward pass: inputs made on the default
    stream would draw it into the capture, which is not allowed.
    """
    if device.type != "cuda":
        yield
        return
    gc.collect()  # what the case before has left
    torch.cuda.empty_cache()
    stream = torch.cuda.Stream(device)
    with torch.cuda.stream(stream):
        yield
    torch.cuda.synchronize(device)


class DeviceTimer(Generic[T]):
    """Seconds of a call on the device, without what it costs to launch it.

    One graph holds a call on each of the sets. Before each replay a buffer of twice the L2 cache
    is written, so no set is in the cache. Then the device sleeps until the graph has been launched.
    Events around ordinary calls, the fallback, measure launching too where that takes longer.

    Args:
        step: what is timed; must have run before.
        sets: its inputs, each used once a replay.
        keep: called with (inputs, list) before the capture; has whatever the calls put out added
            to the list, so that each call writes to memory of its own. Returns its undoing.
        device: the GPU.
        capturable: whether to try a graph.

    Attributes:
        method: "graph" or "events".
        reason: why there is no graph.
    """

    def __init__(
        self,
        step: Callable[[T], object],
        sets: Sequence[T],
        keep: Callable[[T, list], Callable[[], None]],
        device: torch.device,
        capturable: bool = True,
    ):
        self._sets = sets
        self._flush = torch.empty(2 * last_level_cache(device), dtype=torch.uint8, device=device)
        self._start, self._end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        self._launch = lambda: [step(inputs) for inputs in sets]
        self.method, self.reason = "events", NOT_CAPTURABLE
        if capturable:
            self._try_graph(step, keep, device)

    def sample(self) -> float:
        """Seconds of a call, the mean over all sets."""
        self._flush.zero_()
        torch.cuda._sleep(_CYCLES_THAT_HIDE_A_LAUNCH)
        self._start.record()
        self._launch()
        self._end.record()
        self._end.synchronize()
        return self._start.elapsed_time(self._end) / 1e3 / len(self._sets)

    def _try_graph(self, step, keep, device: torch.device) -> None:
        try:
            self._launch = self._captured(step, keep)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            torch.cuda.synchronize(device)
            self.reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        else:
            self.method, self.reason = "graph", ""

    def _captured(self, step, keep) -> Callable[[], None]:
        graph, kept = torch.cuda.CUDAGraph(), []
        undo = [keep(inputs, kept) for inputs in self._sets]
        try:
            with torch.cuda.graph(graph, stream=torch.cuda.current_stream()):
                kept += [step(inputs) for inputs in self._sets]
        finally:
            for put_back in undo:
                put_back()
        graph.replay()
        torch.cuda.synchronize()
        return graph.replay
