"""The same run with several seeds: independent of each other, in one process."""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from ffdwv_fast.data.dataset import Dataset
from ffdwv_fast.engine.config import TrainConfig
from ffdwv_fast.engine.final_metrics import FinalMetrics
from ffdwv_fast.engine.run import Run, run
from ffdwv_fast.engine.run_folder import check_free, write_json
from ffdwv_fast.errors import InputError

ERRORS = ("test_error", "validation_error", "peer_error", "train_error")
SUMMARISED = (
    *ERRORS,
    *(f"{images}_{name}" for images in ("test", "validation") for name in FinalMetrics._fields),
    "images_per_second",
)
SHARED = ("epochs", "parameters", "train_flops", "test_flops", "versions", "hardware")


def run_seeds(
    config: TrainConfig,
    seeds: Sequence[int],
    dataset: Dataset,
    similarity: Tensor | None,
    out: Path,
) -> dict[str, object]:
    """Train once for each seed and leave the results in folders of their own.

    On a GPU the runs take turns, step by step, each on a stream of its own, and the device works on
    several at once; on a CPU, which one run keeps busy, they come one after the other. Each has the
    results that it would have alone.

    Args:
        config: of all runs but for the seed.
        seeds: different from each other.
        dataset: as `Run`.
        similarity: as `Run`.
        out: holds a folder seedN for each and summary.json; must be free.

    Returns:
        The summary over the seeds, as summary.json holds it: mean, standard deviation (n - 1; None
        for a single run) and n of the errors in percent, of the final metrics that every run has
        and of each run's images/s.

    Raises:
        InputError: as `Run`; a run that diverges ends all, and its seed is named.
    """
    check_free(out)
    start = time.perf_counter()
    if torch.device(config.device).type == "cuda":
        summaries = _in_turns(config, seeds, dataset, similarity, out)
    else:
        summaries = [_alone(config, seed, dataset, similarity, out) for seed in seeds]
    summary = {
        **{
            name: statistics_of([s[name] for s in summaries])
            for name in SUMMARISED
            if all(s.get(name) is not None for s in summaries)
        },
        **{name: summaries[0][name] for name in SHARED},
        "seconds": time.perf_counter() - start,
        "seeds": list(seeds),
    }
    write_json(out / "summary.json", summary)
    return summary


def statistics_of(values: Sequence[float]) -> dict[str, float | int | None]:
    """Mean, standard deviation with n - 1 (None for one value) and n."""
    sd = statistics.stdev(values) if len(values) > 1 else None
    return {"mean": statistics.fmean(values), "sd": sd, "n": len(values)}


@contextmanager
def _named(seed: int) -> Iterator[None]:
    """Whatever is refused within is refused for this seed."""
    try:
        yield
    except InputError as error:
        raise InputError(f"seed {seed}: {error}") from None


def _alone(
    config: TrainConfig, seed: int, dataset: Dataset, similarity: Tensor | None, out: Path
) -> dict[str, object]:
    with _named(seed):
        return run(replace(config, seed=seed), dataset, similarity, out / f"seed{seed}")


class _Turns:
    """A run and the stream on which its turns are taken."""

    def __init__(
        self,
        config: TrainConfig,
        seed: int,
        dataset: Dataset,
        similarity: Tensor | None,
        out: Path,
    ):
        self._on_stream = _stream_of_its_own(torch.device(config.device))
        self._seed = seed
        with self._on_stream(), _named(seed):
            self.run = Run(
                replace(config, seed=seed), dataset, similarity, out / f"seed{seed}", f"seed {seed}"
            )
        self._steps = self.run.steps()

    def take(self) -> bool:
        """Take a step; whether there was one left."""
        with self._on_stream(), _named(self._seed):
            return next(self._steps, self) is not self

    def finish(self) -> dict[str, object]:
        with self._on_stream():
            return self.run.finish()

    def close(self) -> None:
        self._steps.close()
        self.run.close()  # a run that has not begun is not closed by the line above


def _in_turns(
    config: TrainConfig,
    seeds: Sequence[int],
    dataset: Dataset,
    similarity: Tensor | None,
    out: Path,
) -> list[dict[str, object]]:
    runs = [_Turns(config, seed, dataset, similarity, out) for seed in seeds]
    active = runs
    try:
        while active:
            active = [one for one in active if one.take()]
    finally:
        for one in runs:
            one.close()
    return [one.finish() for one in runs]


def _stream_of_its_own(device: torch.device) -> Callable[[], AbstractContextManager]:
    if device.type != "cuda":
        return nullcontext
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))

    def enter() -> AbstractContextManager:
        return torch.cuda.stream(stream)

    return enter
