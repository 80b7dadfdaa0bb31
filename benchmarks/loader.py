"""python -m benchmarks.loader: the loaders alone, and what they add to the training step.

docs/speed.md has the rules.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch

from benchmarks import reference_train
from benchmarks.command_line import (
    Benchmark,
    add_common_options,
    busy_notes,
    device_of,
    limits_of,
    listed,
    run_cases,
)
from benchmarks.images import add_data_option, dataset_of, description
from benchmarks.results import number, table
from benchmarks.step_contenders import AMP_STEP, CONTENDERS, Case
from benchmarks.timing import Interleaved, Limits, interleave, ratios, spread
from ffdwv_fast.command import ArgumentParser, positive_int, run_command
from ffdwv_fast.data.dali_loader import dali_available
from ffdwv_fast.data.dataset import Dataset
from ffdwv_fast.data.image_op import why_not_on
from ffdwv_fast.data.loader import LOADERS, Batch, Loader, make_loader
from ffdwv_fast.models import MODELS

REFERENCE = "reference"
STATIC = "one static batch"
ALONE, WITH_STEP = "alone", "with the step"
WORKERS = 2  # of the reference's DataLoader

LIMITS = Limits(rounds=20, seconds=40.0)
# An epoch with the step takes about so long, but has no fewer steps, and no more images than the
# set. What a loader does at an epoch's beginning counts fully: the shorter, the worse for it.
SECONDS_OF_STEPS = 2.0
FEWEST_STEPS = 4
TINY_STEPS = 2

Batches = Callable[[], Iterator[Batch]]
"""An epoch's batches, on the device."""

EXPLANATION = (
    "alone: images/s of a loader whose batches nobody uses, in epochs of all images; x reference:",
    f"beside a DataLoader with {WORKERS} workers and torchvision-style transforms. with the step:",
    "cost: how much longer steps fed by the loader take than the same fed with one static batch,",
    "in epochs of some seconds. An epoch's beginning is in it. Medians over n rounds, quartiles.",
)


class Part(NamedTuple):
    """What is measured together.

    Attributes:
        name: ALONE or WITH_STEP.
        case: the step, and the batches' size.
    """

    name: str
    case: Case


def parser() -> ArgumentParser:
    """The command's options."""
    p = ArgumentParser(prog="python -m benchmarks.loader", description=__doc__.splitlines()[0])
    p.add_argument("--batch-sizes", type=listed(positive_int), default="128", help="several")
    p.add_argument("--model", choices=MODELS, default="resnet32", help="whose step is fed")
    add_data_option(p)
    add_common_options(p, LIMITS)
    return p


def loaders(dataset: Dataset, case: Case) -> tuple[dict[str, Batches], dict[str, str]]:
    """Everyone's epochs by name, the reference first, and why a loader is not among them."""
    found: dict[str, Batches] = {REFERENCE: _reference(dataset, case)}
    absent = {}
    for kind in LOADERS:
        reason = _why_absent(kind, case.device)
        if reason is not None:
            absent[kind] = reason
            continue
        loader = _loader(kind, dataset, case)
        found[kind] = lambda loader=loader: loader.epoch(0)
    return found, absent


def _why_absent(kind: str, device: torch.device) -> str | None:
    if kind == "dali" and not dali_available():
        return "DALI is not installed"
    return why_not_on(device) if kind == "gpu" else None


def _reference(dataset: Dataset, case: Case) -> Batches:
    loader = reference_train.make_loader(
        dataset.train,
        dataset,
        batch_size=case.batch_size,
        workers=WORKERS,
        device=case.device,
        train=True,
    )

    def epoch() -> Iterator[Batch]:
        for images, labels in loader:
            yield Batch(
                images.to(case.device, non_blocking=True), labels.to(case.device, non_blocking=True)
            )

    return epoch


def seconds_of(
    batches: Batches, device: torch.device, use: Callable[[Batch], object] = lambda batch: None
) -> float:
    """Seconds of an epoch, the device's work included."""
    _wait(device)
    start = time.perf_counter()
    for batch in batches():
        use(batch)
    _wait(device)
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measure(
    part: Part, dataset: Dataset, limits: Limits
) -> tuple[list[dict[str, object]], dict[str, str]]:
    """Rows of a part, and why a loader has none."""
    measured = _measure_alone if part.name == ALONE else _measure_with_step
    return measured(part.case, dataset, limits)


def _measure_alone(
    case: Case, dataset: Dataset, limits: Limits
) -> tuple[list[dict[str, object]], dict[str, str]]:
    found, absent = loaders(dataset, case)
    samples = {name: _sample(epoch, case.device) for name, epoch in found.items()}
    taken = _warm_and_interleave(samples, limits)
    rows = [
        _row(ALONE, case, name, dataset, taken)
        | {
            "times_reference": spread(
                ratios(taken.samples[REFERENCE], taken.samples[name])
            )._asdict()
        }
        for name in found
    ]
    return rows, absent


def _measure_with_step(
    case: Case, dataset: Dataset, limits: Limits
) -> tuple[list[dict[str, object]], dict[str, str]]:
    contender = CONTENDERS[AMP_STEP[case.device.type]]
    take_step = contender.make(case).step
    static = _first_batch(dataset, case)
    one_step = _sample(lambda: iter([static]), case.device, take_step)
    steps = TINY_STEPS if limits.tiny else steps_of_an_epoch(one_step)
    steps = min(steps, len(dataset.train) // case.batch_size)
    dataset = dataset.limit_train(steps * case.batch_size)
    found, absent = loaders(dataset, case)
    found = {STATIC: lambda: iter([static] * steps), **found}
    samples = {name: _sample(epoch, case.device, take_step) for name, epoch in found.items()}
    taken = _warm_and_interleave(samples, limits)
    rows = [
        _row(WITH_STEP, case, name, dataset, taken) | {"cost": _cost(taken, name)} for name in found
    ]
    return rows, absent


def _loader(kind: str, dataset: Dataset, case: Case) -> Loader:
    return make_loader(
        kind,
        dataset.train,
        dataset,
        batch_size=case.batch_size,
        device=case.device,
        seed=0,
        augment=True,
        half=case.device.type == "cuda",
    )


def _first_batch(dataset: Dataset, case: Case) -> Batch:
    loader = _loader("torch", dataset, case)
    return next(loader.epoch(0))


def steps_of_an_epoch(one_step: Callable[[], float]) -> int:
    """How many steps take two seconds, the first calls being warm-up; 4 at least."""
    seconds = min(one_step() for _ in range(3))
    return max(FEWEST_STEPS, round(SECONDS_OF_STEPS / seconds))


def _sample(
    epoch: Batches, device: torch.device, use: Callable[[Batch], object] = lambda batch: None
) -> Callable[[], float]:
    return lambda: seconds_of(epoch, device, use)


def _warm_and_interleave(samples: dict[str, Callable[[], float]], limits: Limits) -> Interleaved:
    for sample in samples.values():
        sample()
    return interleave(samples, limits.rounds, limits.seconds)


def _row(
    part: str, case: Case, name: str, dataset: Dataset, taken: Interleaved
) -> dict[str, object]:
    images, seconds = len(dataset.train), taken.samples[name]
    return {
        "part": part,
        "loader": name,
        "batch_size": case.batch_size,
        "images": images,
        "dataset": description(dataset),
        "images_per_second": images / spread(seconds).median,
        "rounds": len(seconds),
        "others": taken.others,
        "samples_s": seconds,
    }


def _cost(taken: Interleaved, name: str) -> dict[str, float]:
    """What a loader adds to the steps, as a share of what they take with a static batch."""
    slower = ratios(taken.samples[name], taken.samples[STATIC])
    return spread([ratio - 1 for ratio in slower])._asdict()


HEAD = ("", "batch", "loader", "images/s", "x reference", "quartiles", "cost", "quartiles", "n")


def lines(found: dict[str, object]) -> list[str]:
    """Table and notes."""
    rows = found["rows"]
    notes = [f"{row['part']}, {row['dataset']} in an epoch" for row in rows]
    notes += [f"not here: {name}, {reason}" for name, reason in found["absent"].items()]
    notes += busy_notes(rows, " (the reference's workers count as such)")
    return [*table(HEAD, [_cells(row) for row in rows]), "", *dict.fromkeys(notes)]


def _cells(row: dict[str, object]) -> list[str]:
    faster, cost = row.get("times_reference"), row.get("cost")
    return [
        *(row["part"], str(row["batch_size"]), row["loader"]),
        f"{row['images_per_second']:,.0f}",
        "-" if faster is None else number(faster["median"]),
        "-" if faster is None else f"{number(faster['q1'])} - {number(faster['q3'])}",
        "-" if cost is None else f"{100 * cost['median']:.1f} %",
        "-" if cost is None else f"{100 * cost['q1']:.1f} - {100 * cost['q3']:.1f} %",
        str(row["rounds"]),
    ]


def parts(options: argparse.Namespace, device: torch.device) -> list[Part]:
    """What is measured: both parts for each batch size."""
    cases = [Case(options.model, n, device) for n in options.batch_sizes]
    if options.tiny:
        cases = [Case("resnet8", 8, device)]
    return [Part(name, case) for case in cases for name in (ALONE, WITH_STEP)]


def main(argv: list[str] | None) -> None:
    """Run the command."""
    options = parser().parse_args(argv)
    device, limits = device_of(options), limits_of(options, LIMITS)
    dataset = dataset_of(options)
    benchmark = Benchmark(
        EXPLANATION,
        lambda part: f"batch {part.case.batch_size}: the loaders {part.name}",
        lambda part: measure(part, dataset, limits),
        lines,
    )
    run_cases(benchmark, parts(options, device), device, options.json)


if __name__ == "__main__":
    run_command(main)
