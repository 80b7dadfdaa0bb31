"""python -m benchmarks.loss: the losses, forward and backward, against PyTorch's own.

benchmarks/README.md has the rules.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from benchmarks.hardware import chosen_device, header, header_lines
from benchmarks.loss_contenders import BASELINES, CONTENDERS, WORKLOADS
from benchmarks.loss_inputs import Case
from benchmarks.loss_measure import WORST_ERROR, Limits, measure
from benchmarks.results import number, table, write_json
from benchmarks.timing import QUIET
from ffdwv_fast.command import ArgumentParser, positive_int, run_command

TRAINING_SHAPES = ((128, 10), (128, 100), (1024, 100), (256, 1000), (1024, 10000))
BANDWIDTH_SHAPES = ((65536, 256), (16384, 1000), (4096, 32000), (2048, 128256))
TINY_SHAPES = ((16, 10),)
EXPLANATION = (
    "Forward + backward. x eager, x compiled: times faster, and quartiles over n rounds.",
    "GB/s: bytes that must move over time; of copy: beside a copy of as many bytes.",
    "others: share of the processors that other processes took meanwhile.",
)
DTYPES = {str(dtype).removeprefix("torch."): dtype for dtype in WORST_ERROR}

ROUNDS = 100
TINY_ROUNDS = 3
SECONDS_PER_CASE = 20.0


def listed(item: Callable[[str], object]) -> Callable[[str], list]:
    """An option's value: items separated by commas."""
    return lambda text: [item(part) for part in text.split(",")]


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
    p.add_argument("--device", choices=["cpu", "cuda"], help="default: cuda if there is one")
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
        "--rounds",
        type=positive_int,
        help=f"at most, default {ROUNDS}; a case ends sooner after {SECONDS_PER_CASE:.0f} s",
    )
    p.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there too")
    p.add_argument("--tiny", action="store_true", help="run every line, measure nothing")
    return p


def cases(options: argparse.Namespace, device: torch.device) -> Iterator[Case]:
    """All cases of the options, in the order of the table."""
    default = TRAINING_SHAPES + (BANDWIDTH_SHAPES if device.type == "cuda" else ())
    shapes = options.shapes or (TINY_SHAPES if options.tiny else default)
    dtypes = options.dtype[:1] if options.tiny else options.dtype
    for workload in options.losses:
        for kind in dtypes:
            for rows, classes in shapes:
                yield Case(workload, kind, rows, classes, device)


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
    last = row.get("device", row["call"])
    of_copy, others = f"{100 * row['of_copy']:.0f} %", f"{100 * row['call']['others']:.0f} %"
    return [*cells, number(row["gb_per_s"]), of_copy, str(last["rounds"]), others]


def head(device: torch.device) -> list[str]:
    """Names of the columns."""
    names = ["loss", "dtype", "N x C", "contender"]
    for clock in ("call", "device") if device.type == "cuda" else ("call",):
        names += [f"{clock} us", "quartiles", "x eager", "quartiles", "x compiled"]
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
    if any(row["call"]["others"] > QUIET for row in found["rows"]):
        notes.append(
            f"others above {100 * QUIET:.0f} %: other processes were running; such rows mean "
            "little, least of all for what starts threads: measure again on a quiet machine"
        )
    return [*table(head(device), [row_cells(row) for row in found["rows"]]), "", *notes]


def main(argv: list[str] | None) -> None:
    """Run the command."""
    options = parser().parse_args(argv)
    device = chosen_device(options.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    rounds = options.rounds or (TINY_ROUNDS if options.tiny else ROUNDS)
    limits = Limits(rounds, 0.0 if options.tiny else SECONDS_PER_CASE, options.tiny)
    found = {"header": header(device), "rows": [], "absent": {}}
    for case in cases(options, device):
        name = f"{case.workload}, {str(case.dtype).removeprefix('torch.')}"
        print(f"{name}, {case.rows} x {case.classes} ...", file=sys.stderr, flush=True)
        try:
            rows, absent = measure(case, limits)
        except torch.OutOfMemoryError:
            rows, absent = [], {f"{name}, {case.rows} x {case.classes}": "out of GPU memory"}
        found["rows"] += rows
        found["absent"] |= absent
        if options.json:  # after every case: an interrupted run leaves what it has measured
            write_json(options.json, {**found, "table": lines(found, device)})
    print("\n".join([*EXPLANATION, *header_lines(found["header"]), "", *lines(found, device)]))


if __name__ == "__main__":
    run_command(main)
