"""python -m benchmarks.loader: the loaders alone, and what they add to the training step.

docs/speed.md has the rules.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from benchmarks import reference_train
from benchmarks.hardware import chosen_device, header, header_lines
from benchmarks.loss import listed
from benchmarks.results import number, table, write_json
from benchmarks.step_contenders import CONTENDERS, Case
from benchmarks.timing import QUIET, interleave, ratios, spread
from ffdwv_fast.command import ArgumentParser, positive_int, run_command
from ffdwv_fast.data.dali_loader import dali_available
from ffdwv_fast.data.dataset import Dataset, ImageSet
from ffdwv_fast.data.loader import LOADERS, Batch, make_loader
from ffdwv_fast.models import MODELS

REFERENCE = "reference"
STATIC = "one static batch"
WORKERS = 2  # of the reference's DataLoader

# In an epoch, for the loaders alone and with the step: as many as give a sample of seconds. On a
# GPU that is an epoch of CIFAR, with all that a loader does at its beginning.
IMAGES = {"cpu": (10_000, 2_560), "cuda": (50_000, 50_000)}
ROUNDS = 20
SECONDS = 120.0
TINY_IMAGES, TINY_ROUNDS = (40, 16), 2

Batches = Callable[[], Iterator[Batch]]
"""An epoch's batches, on the device."""

EXPLANATION = (
    "alone: images/s of a loader whose batches nobody uses; x reference: beside a DataLoader with",
    f"{WORKERS} workers and torchvision-style transforms. with the step: how much longer steps fed",
    "by the loader take than the same steps fed with one static batch. Medians over n rounds.",
)


def parser() -> ArgumentParser:
    """The command's options."""
    p = ArgumentParser(prog="python -m benchmarks.loader", description=__doc__.splitlines()[0])
    p.add_argument("--device", choices=["cpu", "cuda"], help="default: cuda if there is one")
    p.add_argument("--batch-sizes", type=listed(positive_int), default="128", help="several")
    p.add_argument("--model", choices=MODELS, default="resnet32", help="whose step is fed")
    p.add_argument(
        "--rounds",
        type=positive_int,
        help=f"at most, default {ROUNDS}; a part ends sooner after {SECONDS:.0f} s",
    )
    p.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there too")
    p.add_argument("--tiny", action="store_true", help="run every line, measure nothing")
    return p


def random_dataset(n: int, size: int) -> Dataset:
    """n images of CIFAR's kind; a loader's speed does not depend on what they show."""
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (n, size, size, 3), dtype=np.uint8)
    images = ImageSet(pixels, generator.integers(0, 10, n))
    names = tuple(f"class {k}" for k in range(10))
    third = (0.5, 0.5, 0.5)
    return Dataset("random", names, images, images, third, third, padding=4, flip=True)


def loaders(dataset: Dataset, case: Case) -> tuple[dict[str, Batches], dict[str, str]]:
    """Everyone's epochs by name, the reference first, and why a loader is not among them."""
    found: dict[str, Batches] = {REFERENCE: _reference(dataset, case)}
    absent = {}
    for kind in LOADERS:
        if kind == "dali" and not dali_available():
            absent[kind] = "DALI is not installed"
            continue
        loader = make_loader(
            kind,
            dataset.train,
            dataset,
            batch_size=case.batch_size,
            device=case.device,
            seed=0,
            augment=True,
            half=case.device.type == "cuda",
        )
        found[kind] = lambda loader=loader: loader.epoch(0)
    return found, absent


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


def measure_alone(
    case: Case, images: int, rounds: int, seconds: float
) -> tuple[list[dict[str, object]], dict[str, str]]:
    """Rows for the loaders alone, and why a loader has none."""
    found, absent = loaders(random_dataset(images, case.size), case)
    samples = {name: _sample(epoch, case.device) for name, epoch in found.items()}
    taken = _warm_and_interleave(samples, rounds, seconds)
    rows = [
        {
            "part": "alone",
            "loader": name,
            "batch_size": case.batch_size,
            "images_per_second": images / spread(taken.samples[name]).median,
            "times_reference": spread(
                ratios(taken.samples[REFERENCE], taken.samples[name])
            )._asdict(),
            "rounds": len(taken.samples[name]),
            "others": taken.others,
            "samples_s": taken.samples[name],
        }
        for name in found
    ]
    return rows, absent


def measure_with_step(
    case: Case, images: int, rounds: int, seconds: float
) -> list[dict[str, object]]:
    """Rows for the step fed by each loader, and by none."""
    steps = max(1, images // case.batch_size)
    images = steps * case.batch_size
    found, _ = loaders(random_dataset(images, case.size), case)
    contender = CONTENDERS["+ cuda-graph" if case.device.type == "cuda" else "+ weight-copies"]
    running = contender.make(case)
    static = next(iter(found["torch"]()))
    found = {STATIC: lambda: iter([static] * steps), **found}
    samples = {name: _sample(epoch, case.device, running.step) for name, epoch in found.items()}
    taken = _warm_and_interleave(samples, rounds, seconds)
    return [
        {
            "part": "with the step",
            "loader": name,
            "batch_size": case.batch_size,
            "images_per_second": images / spread(taken.samples[name]).median,
            "cost": spread(
                [r - 1 for r in ratios(taken.samples[name], taken.samples[STATIC])]
            )._asdict(),
            "rounds": len(taken.samples[name]),
            "others": taken.others,
            "samples_s": taken.samples[name],
        }
        for name in found
    ]


def _sample(
    epoch: Batches, device: torch.device, use: Callable[[Batch], object] = lambda batch: None
) -> Callable[[], float]:
    return lambda: seconds_of(epoch, device, use)


def _warm_and_interleave(samples: dict[str, Callable[[], float]], rounds: int, seconds: float):
    for sample in samples.values():
        sample()
    return interleave(samples, rounds, seconds)


HEAD = ("", "batch", "loader", "images/s", "x reference", "quartiles", "cost", "quartiles", "n")


def lines(found: dict[str, object]) -> list[str]:
    """Table and notes."""
    cells = []
    for row in found["rows"]:
        faster, cost = row.get("times_reference"), row.get("cost")
        cells.append(
            [
                row["part"],
                str(row["batch_size"]),
                row["loader"],
                f"{row['images_per_second']:,.0f}",
                "-" if faster is None else number(faster["median"]),
                "-" if faster is None else f"{number(faster['q1'])} - {number(faster['q3'])}",
                "-" if cost is None else f"{100 * cost['median']:.1f} %",
                "-" if cost is None else f"{100 * cost['q1']:.1f} - {100 * cost['q3']:.1f} %",
                str(row["rounds"]),
            ]
        )
    notes = [f"not here: {name}, {reason}" for name, reason in found["absent"].items()]
    worst = max((row["others"] for row in found["rows"]), default=0.0)
    if worst > QUIET:
        notes.append(
            f"other processes took {100 * worst:.0f} % of the processors meanwhile (workers of the "
            "reference count as such); measure again on a quiet machine"
        )
    return [*table(HEAD, cells), "", *notes]


def cases(options: argparse.Namespace, device: torch.device) -> list[Case]:
    """What is measured, one case for each batch size."""
    if options.tiny:
        return [Case("resnet8", 8, device, 8)]
    return [Case(options.model, n, device, 32) for n in options.batch_sizes]


def main(argv: list[str] | None) -> None:
    """Run the command."""
    options = parser().parse_args(argv)
    device = chosen_device(options.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    tiny = options.tiny
    rounds = options.rounds or (TINY_ROUNDS if tiny else ROUNDS)
    alone, with_step = TINY_IMAGES if tiny else IMAGES[device.type]
    limits = (rounds, 0.0 if tiny else SECONDS)
    found = {"header": header(device), "rows": [], "absent": {}}
    for case in cases(options, device):
        print(f"batch {case.batch_size}: the loaders alone ...", file=sys.stderr, flush=True)
        rows, absent = measure_alone(case, alone, *limits)
        print(f"batch {case.batch_size}: with the step ...", file=sys.stderr, flush=True)
        rows += measure_with_step(case, with_step, *limits)
        found["rows"] += rows
        found["absent"] |= absent
        if options.json:  # after every case: an interrupted run leaves what it has measured
            write_json(options.json, {**found, "table": lines(found)})
    print("\n".join([*EXPLANATION, *header_lines(found["header"]), "", *lines(found)]))


if __name__ == "__main__":
    run_command(main)
