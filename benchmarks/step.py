"""python -m benchmarks.step: one training step, from plain PyTorch to all speed-ups together.

docs/speed.md has the rules.
"""

import argparse
import sys
from contextlib import nullcontext
from itertools import islice

import torch

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
from benchmarks.step_contenders import (
    CONTENDERS,
    PLAIN,
    REFERENCE,
    Case,
    Contender,
    Running,
    asked_cases,
)
from benchmarks.timing import CallTimer, Limits, Rotation, interleave, ratios, spread
from ffdwv_fast.command import ArgumentParser, positive_int, run_command
from ffdwv_fast.data.dataset import Dataset
from ffdwv_fast.data.loader import Batch, make_loader
from ffdwv_fast.errors import InputError

LIMITS = Limits(rounds=20, seconds=60.0)
SETS = 4  # batches that rotate: each larger than a step leaves in a cache
# Minutes of compiling for what `train --amp` has off; `--steps` asks for it by its name.
NOT_BY_ITSELF_ON_A_CPU = ("+ compile",)
STEPS_PER_CALL = {"cpu": 1, "cuda": 16}  # a GPU is waited for after so many

# |loss - reference's| / reference's, of the first step: bfloat16 rounds every activation.
WORST_ERROR = {False: 1e-4, True: 3e-2}

HEAD = (
    *("model", "batch", "step", "ms", "quartiles", "images/s"),
    *("x reference", "quartiles", "x plain", "quartiles", "n"),
)
EXPLANATION = (
    "A training step on batches that are on the device: forward, loss, backward, update, metrics.",
    "x reference: times faster than float32 NCHW PyTorch, median over n rounds, and quartiles.",
    "plain: the reference with PyTorch's own means; x plain: times faster than the fastest line",
    "of these, the reference included. From `fused loss` on: this package's step in channels-last",
    "and bfloat16 (as train --amp, float32 on a CPU that would emulate it), a speed-up more in",
    "each line that begins with +. What `train --amp` runs is `+ weight-copies` on a CPU and",
    "`+ cuda-graph` on a GPU.",
)


def parser() -> ArgumentParser:
    """The command's options."""
    p = ArgumentParser(prog="python -m benchmarks.step", description=__doc__.splitlines()[0])
    what = p.add_argument_group("steps")
    what.add_argument("--models", type=listed(str), default="resnet32", help="several: by commas")
    what.add_argument("--batch-sizes", type=listed(positive_int), default="128", help="several")
    what.add_argument(
        "--steps",
        type=listed(str),
        metavar="NAMES",
        help="lines of the table (default: all, on a CPU without + compile and, where bfloat16 "
        "would be emulated, the plain lines with amp)",
    )
    what.add_argument("--no-compile", action="store_true", help="leave out what takes minutes")
    add_data_option(what)
    add_common_options(p, LIMITS)
    return p


def picked(options: argparse.Namespace, device: torch.device) -> list[Contender]:
    """The contenders of the options; the reference always.

    Raises:
        InputError: there is none of a name.
    """
    wanted = options.steps or [
        name
        for name in CONTENDERS
        if options.tiny or device.type == "cuda" or _by_itself_on_a_cpu(name, device)
    ]
    for name in wanted:
        if name not in CONTENDERS:
            raise InputError(f"--steps: no {name!r}; there are: {'; '.join(CONTENDERS)}")
    return [
        one
        for name, one in CONTENDERS.items()
        if name == REFERENCE or (name in wanted and not (one.compiled and options.no_compile))
    ]


def _by_itself_on_a_cpu(name: str, device: torch.device) -> bool:
    return name not in NOT_BY_ITSELF_ON_A_CPU and not CONTENDERS[name].emulates_bf16(device)


def batches(case: Case, dataset: Dataset, channels_last: bool, count: int) -> list[Batch]:
    """The first training batches in a memory format, the same values in both."""
    loader = make_loader(
        "torch",
        dataset.train,
        dataset,
        batch_size=case.batch_size,
        device=case.device,
        seed=1,
        augment=True,
    )
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return [
        Batch(images.contiguous(memory_format=layout), labels)
        for images, labels in islice(loader.epoch(0), count)
    ]


def measure(
    case: Case, dataset: Dataset, contenders: list[Contender], limits: Limits
) -> tuple[list[dict[str, object]], dict[str, str]]:
    """Time the steps of all contenders in turn.

    Returns:
        rows: one per contender, for JSON.
        absent: why a contender has no row, by name.

    Raises:
        RuntimeError: a contender computes another loss than the reference.
    """
    absent = {c.name: r for c in contenders if (r := c.missing(case.device)) is not None}
    steps = STEPS_PER_CALL[case.device.type]
    sets = {layout: batches(case, dataset, layout, SETS) for layout in (False, True)}
    rotations = {k: Rotation([[batch] * steps for batch in of_k]) for k, of_k in sets.items()}
    timers, losses = {}, {}
    for contender in contenders:
        if contender.name in absent:
            continue
        print(f"  {contender.name} ...", file=sys.stderr, flush=True)
        running = contender.make(case)
        running.step(sets[contender.channels_last][0])
        losses[contender.name] = running.loss() / case.batch_size
        _refuse_another_loss(case, contender, losses)
        rotation = rotations[contender.channels_last]
        timers[contender.name] = CallTimer(_several(running), rotation, _waiting(case.device))
    found = interleave(
        {name: timer.sample for name, timer in timers.items()}, limits.rounds, limits.seconds
    )
    per_step = {name: [s / steps for s in found.samples[name]] for name in timers}
    more = {"dataset": description(dataset), "others": found.others}
    rows = [
        _row(case, name, per_step, best_plain(per_step)) | {"loss": losses[name]} | more
        for name in per_step
    ]
    return rows, absent


def best_plain(samples: dict[str, list[float]]) -> str:
    """The plain contender with the lowest median; the reference is one."""
    plain = [name for name in samples if CONTENDERS[name].kind == PLAIN]
    return min(plain, key=lambda name: spread(samples[name]).median)


def _several(running: Running):
    def call(several: list[Batch]) -> None:
        for batch in several:
            running.step(batch)

    return call


def _waiting(device: torch.device):
    return torch.cuda.synchronize if device.type == "cuda" else lambda: None


def _refuse_another_loss(case: Case, contender: Contender, losses: dict[str, float]) -> None:
    reference, own = losses[REFERENCE], losses[contender.name]
    if (
        not abs(own - reference) <= WORST_ERROR[contender.in_bf16(case.device)] * reference
    ):  # NaN too
        raise RuntimeError(
            f"{contender.name}: the loss of the first step is {own:.5g}, the reference's is "
            f"{reference:.5g}; it is not the same step, and was not timed"
        )


def _row(case: Case, name: str, samples: dict[str, list[float]], plain: str) -> dict[str, object]:
    seconds = samples[name]
    return {
        "model": case.model,
        "batch_size": case.batch_size,
        "step": name,
        "ms": spread([1e3 * s for s in seconds])._asdict(),
        "images_per_second": case.batch_size / spread(seconds).median,
        "times_reference": spread(ratios(samples[REFERENCE], seconds))._asdict(),
        "best_plain": plain,
        "times_plain": spread(ratios(samples[plain], seconds))._asdict(),
        "rounds": len(seconds),
        "samples_ms": [round(1e3 * s, 4) for s in seconds],
    }


def lines(found: dict[str, object]) -> list[str]:
    """Table and notes."""
    rows = found["rows"]
    best = {(row["model"], row["batch_size"]): row["best_plain"] for row in rows}
    notes = [
        *dict.fromkeys(row["dataset"] for row in rows),
        *(f"fastest plain step of {model}, batch {n}: {name}" for (model, n), name in best.items()),
        *(f"not here: {name}, {reason}" for name, reason in found["absent"].items()),
        *busy_notes(rows),
    ]
    return [*table(HEAD, [_cells(row) for row in rows]), "", *notes]


def _cells(row: dict[str, object]) -> list[str]:
    ms, *faster = row["ms"], row["times_reference"], row["times_plain"]
    return [
        *(row["model"], str(row["batch_size"]), row["step"], number(ms["median"])),
        *(f"{number(ms['q1'])} - {number(ms['q3'])}", f"{row['images_per_second']:,.0f}"),
        *(text for times in faster for text in _times(times)),
        str(row["rounds"]),
    ]


def _times(times: dict[str, float]) -> tuple[str, str]:
    return f"{times['median']:.2f}", f"{times['q1']:.2f} - {times['q3']:.2f}"


def main(argv: list[str] | None) -> None:
    """Run the command."""
    options = parser().parse_args(argv)
    device, limits = device_of(options), limits_of(options, LIMITS)
    contenders = picked(options, device)
    asked = asked_cases(options.models, options.batch_sizes, device, options.tiny)
    dataset = dataset_of(options)
    benchmark = Benchmark(
        EXPLANATION,
        lambda case: f"{case.model}, batch {case.batch_size}",
        lambda case: measure(case, dataset, contenders, limits),
        lines,
    )
    # Tiny runs torch.compile's lines without compiling: that takes minutes.
    stance = torch.compiler.set_stance("force_eager") if options.tiny else nullcontext()
    with stance:
        run_cases(benchmark, asked, device, options.json)


if __name__ == "__main__":
    run_command(main)
