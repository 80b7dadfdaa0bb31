"""python -m benchmarks.step: one training step, from plain PyTorch to all speed-ups together.

docs/speed.md has the rules.
"""

import argparse
import sys
from contextlib import nullcontext
from pathlib import Path

import torch

from benchmarks.hardware import chosen_device, header, header_lines
from benchmarks.loss import listed
from benchmarks.results import number, table, write_json
from benchmarks.step_contenders import (
    CHANNELS,
    CLASSES,
    CONTENDERS,
    REFERENCE,
    Case,
    Contender,
    Running,
)
from benchmarks.timing import QUIET, CallTimer, Rotation, interleave, ratios, spread
from ffdwv_fast.command import ArgumentParser, positive_int, run_command
from ffdwv_fast.data.loader import Batch
from ffdwv_fast.errors import InputError
from ffdwv_fast.models import MODELS

ROUNDS = 40
TINY_ROUNDS = 2
SECONDS_PER_CASE = 240.0
SETS = 4  # batches that rotate: each larger than a step leaves in a cache
STEPS_PER_CALL = {"cpu": 1, "cuda": 16}  # a GPU is waited for after so many
IMAGE_SIZE = 32
TINY = Case("resnet8", 4, torch.device("cpu"), 8)

# |loss - reference's| / reference's, of the first step: bfloat16 rounds every activation.
WORST_ERROR = {False: 1e-4, True: 3e-2}

HEAD = ("model", "batch", "step", "ms", "quartiles", "images/s", "x reference", "quartiles", "n")
EXPLANATION = (
    "A training step on batches that are on the device: forward, loss, backward, update, metrics.",
    "x reference: times faster than float32 NCHW PyTorch, median over n rounds, and quartiles.",
    "plain: the reference with PyTorch's own means; from `fused loss` on: this package's step in",
    "bfloat16 and channels-last, a speed-up more in each line that begins with +.",
)


def parser() -> ArgumentParser:
    """The command's options."""
    p = ArgumentParser(prog="python -m benchmarks.step", description=__doc__.splitlines()[0])
    p.add_argument("--device", choices=["cpu", "cuda"], help="default: cuda if there is one")
    p.add_argument("--models", type=listed(str), default="resnet32", help="several: by commas")
    p.add_argument("--batch-sizes", type=listed(positive_int), default="128", help="several")
    p.add_argument("--steps", type=listed(str), metavar="NAMES", help="lines: default all")
    p.add_argument("--no-compile", action="store_true", help="leave out what takes minutes")
    p.add_argument(
        "--rounds",
        type=positive_int,
        help=f"at most, default {ROUNDS}; a case ends sooner after {SECONDS_PER_CASE:.0f} s",
    )
    p.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there too")
    p.add_argument("--tiny", action="store_true", help="run every line, measure nothing")
    return p


def picked(options: argparse.Namespace) -> list[Contender]:
    """The contenders of the options; the reference always.

    Raises:
        InputError: there is none of a name.
    """
    wanted = options.steps or list(CONTENDERS)
    for name in wanted:
        if name not in CONTENDERS:
            raise InputError(f"--steps: no {name!r}; there are: {'; '.join(CONTENDERS)}")
    return [
        one
        for name, one in CONTENDERS.items()
        if name == REFERENCE or (name in wanted and not (one.compiled and options.no_compile))
    ]


def batches(case: Case, channels_last: bool, count: int) -> list[Batch]:
    """Random images in a memory format, the same values in both."""
    generator = torch.Generator().manual_seed(1)
    shape = (case.batch_size, CHANNELS, case.size, case.size)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return [
        Batch(
            torch.randn(shape, generator=generator).to(case.device, memory_format=layout),
            torch.randint(CLASSES, shape[:1], generator=generator).to(case.device),
        )
        for _ in range(count)
    ]


def measure(
    case: Case, contenders: list[Contender], rounds: int, seconds: float
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
    sets = {layout: batches(case, layout, SETS) for layout in (False, True)}
    rotations = {k: Rotation([[batch] * steps for batch in of_k]) for k, of_k in sets.items()}
    timers, losses = {}, {}
    for contender in contenders:
        if contender.name in absent:
            continue
        print(f"  {contender.name} ...", file=sys.stderr, flush=True)
        running = contender.make(case)
        running.step(sets[contender.channels_last][0])
        losses[contender.name] = running.loss() / case.batch_size
        _refuse_another_loss(contender, losses)
        rotation = rotations[contender.channels_last]
        timers[contender.name] = CallTimer(_several(running), rotation, _waiting(case.device))
    found = interleave({name: timer.sample for name, timer in timers.items()}, rounds, seconds)
    per_step = {name: [s / steps for s in found.samples[name]] for name in timers}
    rows = [_row(case, name, per_step, found.others, losses[name]) for name in per_step]
    return rows, absent


def _several(running: Running):
    def call(several: list[Batch]) -> None:
        for batch in several:
            running.step(batch)

    return call


def _waiting(device: torch.device):
    return torch.cuda.synchronize if device.type == "cuda" else lambda: None


def _refuse_another_loss(contender: Contender, losses: dict[str, float]) -> None:
    reference, own = losses[REFERENCE], losses[contender.name]
    if not abs(own - reference) <= WORST_ERROR[contender.amp] * reference:  # NaN too
        raise RuntimeError(
            f"{contender.name}: the loss of the first step is {own:.5g}, the reference's is "
            f"{reference:.5g}; it is not the same step, and was not timed"
        )


def _row(
    case: Case, name: str, samples: dict[str, list[float]], others: float, loss: float
) -> dict[str, object]:
    seconds = samples[name]
    return {
        "model": case.model,
        "batch_size": case.batch_size,
        "step": name,
        "loss": loss,
        "ms": spread([1e3 * s for s in seconds])._asdict(),
        "images_per_second": case.batch_size / spread(seconds).median,
        "times_reference": spread(ratios(samples[REFERENCE], seconds))._asdict(),
        "rounds": len(seconds),
        "others": others,
        "samples_ms": [round(1e3 * s, 4) for s in seconds],
    }


def lines(found: dict[str, object]) -> list[str]:
    """Table and notes."""
    cells = []
    for row in found["rows"]:
        ms, faster = row["ms"], row["times_reference"]
        cells.append(
            [
                row["model"],
                str(row["batch_size"]),
                row["step"],
                number(ms["median"]),
                f"{number(ms['q1'])} - {number(ms['q3'])}",
                f"{row['images_per_second']:,.0f}",
                f"{faster['median']:.2f}",
                f"{faster['q1']:.2f} - {faster['q3']:.2f}",
                str(row["rounds"]),
            ]
        )
    notes = [f"not here: {name}, {reason}" for name, reason in found["absent"].items()]
    if any(row["others"] > QUIET for row in found["rows"]):
        worst = max(row["others"] for row in found["rows"])
        notes.append(
            f"other processes took {100 * worst:.0f} % of the processors meanwhile; measure again "
            "on a quiet machine"
        )
    return [*table(HEAD, cells), "", *notes]


def main(argv: list[str] | None) -> None:
    """Run the command."""
    options = parser().parse_args(argv)
    device = chosen_device(options.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    cases = [Case(m, n, device, IMAGE_SIZE) for m in options.models for n in options.batch_sizes]
    if options.tiny:
        cases = [TINY._replace(device=device)]
    for case in cases:
        if case.model not in MODELS:
            raise InputError(f"--models {case.model}: expected one of {', '.join(MODELS)}")
    rounds = options.rounds or (TINY_ROUNDS if options.tiny else ROUNDS)
    contenders = picked(options)
    found = {"header": header(device), "rows": [], "absent": {}}
    # Tiny runs torch.compile's lines without compiling: that takes minutes.
    stance = torch.compiler.set_stance("force_eager") if options.tiny else nullcontext()
    with stance:
        for case in cases:
            print(f"{case.model}, batch {case.batch_size} ...", file=sys.stderr, flush=True)
            seconds = 0.0 if options.tiny else SECONDS_PER_CASE
            rows, absent = measure(case, contenders, rounds, seconds)
            found["rows"] += rows
            found["absent"] |= absent
            if options.json:  # after every case: an interrupted run leaves what it has measured
                write_json(options.json, {**found, "table": lines(found)})
    print("\n".join([*EXPLANATION, *header_lines(found["header"]), "", *lines(found)]))


if __name__ == "__main__":
    run_command(main)
