"""python -m benchmarks.loss: the losses, forward and backward, against PyTorch's own.

benchmarks/README.md has the rules.
"""

import argparse
from collections.abc import Iterator

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
from benchmarks.loss_contenders import BASELINES, CONTENDERS, WORKLOADS
from benchmarks.loss_inputs import Case
from benchmarks.loss_measure import WORST_ERROR, measure
from benchmarks.results import number, table
from benchmarks.timing import Limits
from ffdwv_fast.command import ArgumentParser, run_command

TRAINING_SHAPES = ((128, 10), (128, 100), (1024, 100), (256, 1000), (1024, 10000))
BANDWIDTH_SHAPES = ((65536, 256), (16384, 1000), (4096, 32000), (2048, 128256))
TINY_SHAPES = ((16, 10),)
EXPLANATION = (
    "Forward + backward. x eager, x compiled: times faster, and quartiles over n rounds;",
    "x float32: than the same on float32 logits, timed in the same rounds.",
    "GB/s: bytes that must move over time; of copy: beside a copy of as many bytes.",
    "others: share of the processors that other processes took meanwhile.",
)
DTYPES = {str(dtype).removeprefix("torch."): dtype for dtype in WORST_ERROR}

LIMITS = Limits(rounds=100, seconds=20.0)


def shape(text: str) -> tuple[int, int]:
    """An option's value: NxC."""
    rows, cross, classes = text.partition("x")
    if not (cross and rows.isdecimal() and classes.isdecimal() and int(rows) and int(classes)):
        raise argparse.ArgumentTypeError(f"{text!r} is not NxC, as in 128x10")
    return int(rows), int(classes)


def dtype(text: str) -> torch.dtype:
    """An option's value: a dtype's name."""
    if text not in DTYPES:
        raise argparse.ArgumentTypeError(f"{text!r} is not one of {', '.join(DTYPES)}")
    return DTYPES[text]


def losses(text: str) -> list[str]:
    """An option's value: names of workloads, or all."""
    names = list(WORKLOADS) if text == "all" else text.split(",")
    for name in names:
        if name not in WORKLOADS:
            raise argparse.ArgumentTypeError(f"{name!r} is not one of {', '.join(WORKLOADS)}, all")
    return names


def parser() -> ArgumentParser:
    """The command's options."""
    p = ArgumentParser(prog="python -m benchmarks.loss", description=__doc__.splitlines()[0])
    p.add_argument(
        "--dtype", type=listed(dtype), default="float32,bfloat16", help="of the logits, several"
    )
    p.add_argument(
        "--shapes",
        type=listed(shape),
        metavar="NxC,...",
        help="default: training sizes and, on a GPU, sizes that show bandwidth",
    )
    p.add_argument(
        "--losses", type=losses, default="class rows,teacher", help="names, or all", metavar="NAMES"
    )
    p.add_argument(
        "--cached",
        action="store_true",
        help="inputs that are in the processor's cache; without, they come from memory",
    )
    add_common_options(p, LIMITS)
    return p


def cases(options: argparse.Namespace, device: torch.device) -> Iterator[Case]:
    """All cases of the options, in the order of the table."""
    default = TRAINING_SHAPES + (BANDWIDTH_SHAPES if device.type == "cuda" else ())
    shapes = options.shapes or (TINY_SHAPES if options.tiny else default)
    dtypes = options.dtype[:1] if options.tiny else options.dtype
    for workload in options.losses:
        for kind in dtypes:
            for rows, classes in shapes:
                yield Case(workload, kind, rows, classes, device, options.cached)


def row_cells(row: dict[str, object]) -> list[str]:
    """A row of the table: one contender of one case."""
    cells = [row["loss"], row["dtype"], f"{row['rows']} x {row['classes']}", row["contender"]]
    for clock in ("call", "device"):
        if clock not in row:
            continue
        timed = row[clock]
        us = timed["us"]
        cells += [number(us["median"]), f"{number(us['q1'])} - {number(us['q3'])}"]
        for baseline in BASELINES:
            times = timed.get(f"times_{baseline}")
            cells.append("-" if times is None else f"{times['median']:.2f}")
            if baseline == "eager":
                cells.append("-" if times is None else f"{times['q1']:.2f} - {times['q3']:.2f}")
        times = timed.get("times_float32")
        cells.append("-" if times is None else f"{times['median']:.2f}")
    last = row.get("device", row["call"])
    of_copy, others = f"{100 * row['of_copy']:.0f} %", f"{100 * row['call']['others']:.0f} %"
    return [*cells, number(row["gb_per_s"]), of_copy, str(last["rounds"]), others]


def head(device: torch.device) -> list[str]:
    """Names of the columns."""
    names = ["loss", "dtype", "N x C", "contender"]
    for clock in ("call", "device") if device.type == "cuda" else ("call",):
        names += [f"{clock} us", "quartiles", "x eager", "quartiles", "x compiled", "x float32"]
    return [*names, "GB/s", "of copy", "n", "others"]


def no_graph(rows: list[dict[str, object]]) -> list[tuple[str, str]]:
    """Contenders that could not be captured, each once, and why."""
    found = {
        row["contender"]: row["device"]["reason"]
        for row in rows
        if "device" in row and row["device"]["method"] != "graph"
    }
    return list(found.items())


def lines(found: dict[str, object], device: torch.device) -> list[str]:
    """Table and notes."""
    notes = [f"{c.name}: {c.note}" for c in CONTENDERS if c.note and c.name not in found["absent"]]
    notes += [f"not here: {name}, {reason}" for name, reason in found["absent"].items()]
    notes += [f"by events, no graph: {name}, {reason}" for name, reason in no_graph(found["rows"])]
    if any(row["cached"] for row in found["rows"]):
        notes.append("inputs: three sets only, which stay in the processor's cache (--cached)")
    notes += busy_notes(row["call"] for row in found["rows"])
    return [*table(head(device), [row_cells(row) for row in found["rows"]]), "", *notes]


def case_name(case: Case) -> str:
    """For people."""
    kind = str(case.dtype).removeprefix("torch.")
    return f"{case.workload}, {kind}, {case.rows} x {case.classes}"


def main(argv: list[str] | None) -> None:
    """Run the command."""
    options = parser().parse_args(argv)
    device, limits = device_of(options), limits_of(options, LIMITS)
    benchmark = Benchmark(
        EXPLANATION,
        case_name,
        lambda case: measure(case, limits),
        lambda found: lines(found, device),
    )
    run_cases(benchmark, cases(options, device), device, options.json)


if __name__ == "__main__":
    run_command(main)
