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
from ffdwv_fast.engine.run_folder import (
    finished_summary,
    refuse_if_taken,
    summary_of_seeds,
    write_json,
)
from ffdwv_fast.engine.stop import Stopped, StopRequest
from ffdwv_fast.errors import InputError

ERRORS = ("test_error", "validation_error", "peer_error", "train_error")
SUMMARISED = (
    *ERRORS,
    *(f"{images}_{name}" for images in ("test", "validation") for name in FinalMetrics._fields),
    "images_per_second",
)
SHARED = (
    *("epochs", "parameters", "train_flops", "test_flops", "skipped_images"),
    *("versions", "hardware"),
)


def run_seeds(
    config: TrainConfig,
    seeds: Sequence[int],
    dataset: Dataset,
    similarity: Tensor | None,
    out: Path,
    stop: StopRequest | None = None,
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
        out: holds a folder seedN for each and summary.json. Of runs that are there already the
            finished ones are taken as they are, and the others gone on with. Where all are, nothing
            is written.
        stop: as `Run`.

    Returns:
        The summary over the seeds, as summary.json holds it: mean, standard deviation (n - 1; None
        for a single run) and n of the errors in percent, of the final metrics that every run has
        and of each run's images/s.

    Raises:
        InputError: as `Run`; a run that diverges ends all, and its seed is named.
    """
    refuse_if_taken(out)
    stop = stop or StopRequest()
    start = time.perf_counter()
    known = summary_of_seeds(out, seeds)
    if known is not None and None not in [_finished(config, seed, out) for seed in seeds]:
        return known
    if torch.device(config.device).type == "cuda":
        summaries = _in_turns(config, seeds, dataset, similarity, out, stop)
    else:
        summaries = [_alone(config, seed, dataset, similarity, out, stop) for seed in seeds]
    summary = {
        **{
            name: statistics_of([s[name] for s in summaries])
            for name in SUMMARISED
            if all(s.get(name) is not None for s in summaries)
        },
        **{name: summaries[0][name] for name in SHARED if name in summaries[0]},
        "seconds": time.perf_counter() - start,
        "seeds": list(seeds),
    }
    write_json(out / "summary.json", summary)
    return summary


def seed_folder(out: Path, seed: int) -> Path:
    """Where the run of a seed is."""
    return out / f"seed{seed}"


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


def _finished(config: TrainConfig, seed: int, out: Path) -> dict[str, object] | None:
    with _named(seed):
        return finished_summary(seed_folder(out, seed), replace(config, seed=seed))


def _alone(
    config: TrainConfig,
    seed: int,
    dataset: Dataset,
    similarity: Tensor | None,
    out: Path,
    stop: StopRequest,
) -> dict[str, object]:
    finished = _finished(config, seed, out)
    if finished is not None:
        return finished
    with _named(seed):
        return run(replace(config, seed=seed), dataset, similarity, seed_folder(out, seed), stop)


class _Turns:
    """A run and the stream on which its turns are taken."""

    def __init__(
        self,
        config: TrainConfig,
        seed: int,
        dataset: Dataset,
        similarity: Tensor | None,
        out: Path,
        stop: StopRequest,
    ):
        self._on_stream = _stream_of_its_own(torch.device(config.device))
        self._seed = seed
        with self._on_stream(), _named(seed):
            own, folder = replace(config, seed=seed), seed_folder(out, seed)
            self.run = Run(own, dataset, similarity, folder, f"seed {seed}", stop)
        self._steps = self.run.steps()

    def take(self) -> bool:
        """Take a step; whether there was one left."""
        with self._on_stream(), _named(self._seed):
            return next(self._steps, self) is not self

    def save(self) -> None:
        with self._on_stream(), _named(self._seed):
            self.run.save()

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
    stop: StopRequest,
) -> list[dict[str, object]]:
    summaries = {seed: _finished(config, seed, out) for seed in seeds}
    runs = {
        seed: _Turns(config, seed, dataset, similarity, out, stop)
        for seed in seeds
        if summaries[seed] is None
    }
    active = list(runs.values())
    try:
        while active:
            active = [one for one in active if one.take()]
    except Stopped:
        for one in active:
            one.save()
        raise
    finally:
        for one in runs.values():
            one.close()
    return [summaries[seed] or runs[seed].finish() for seed in seeds]


def _stream_of_its_own(device: torch.device) -> Callable[[], AbstractContextManager]:
    if device.type != "cuda":
        return nullcontext
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))

    def enter() -> AbstractContextManager:
        return torch.cuda.stream(stream)

    return enter
