"""What the commands of the benchmarks share: their options, and the way through their cases."""

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import torch

from benchmarks.hardware import chosen_device, header, header_lines
from benchmarks.results import write_json
from benchmarks.timing import QUIET, Limits
from ffdwv_fast.command import ArgumentParser, positive_int

CaseT = TypeVar("CaseT")
Measured = tuple[list[dict[str, object]], dict[str, str]]
"""Rows for JSON, and why something has none, by name."""

_TINY_ROUNDS = 2


class Benchmark(NamedTuple, Generic[CaseT]):
    """A command's own part.

    Attributes:
        explanation: lines above the table.
        name: of a case, for people.
        measure: a case.
        lines: table and notes of `found`: header, rows, absent.
    """

    explanation: Sequence[str]
    name: Callable[[CaseT], str]
    measure: Callable[[CaseT], Measured]
    lines: Callable[[dict[str, object]], list[str]]


def listed(item: Callable[[str], object]) -> Callable[[str], list]:
    """An option's value: items separated by commas."""
    return lambda text: [item(part) for part in text.split(",")]


def add_common_options(parser: ArgumentParser, default: Limits | None) -> None:
    """--device, --json, --tiny and, where there are rounds, --rounds."""
    p = parser.add_argument_group("measuring")
    p.add_argument("--device", choices=["cpu", "cuda"], help="default: cuda if there is one")
    if default is not None:
        ends = f"a case ends sooner after {default.seconds:.0f} s"
        p.add_argument(
            "--rounds", type=positive_int, help=f"at most, default {default.rounds}; {ends}"
        )
    p.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there too")
    p.add_argument("--tiny", action="store_true", help="run every line, measure nothing")


def device_of(options: argparse.Namespace) -> torch.device:
    """The device of `--device`.

    Raises:
        InputError: there is none.
    """
    return chosen_device(options.device or ("cuda" if torch.cuda.is_available() else "cpu"))


def limits_of(options: argparse.Namespace, default: Limits) -> Limits:
    """How much the options want measured."""
    if options.tiny:
        return Limits(options.rounds or _TINY_ROUNDS, 0.0, True)
    return default._replace(rounds=options.rounds or default.rounds)


def busy_notes(rows: Iterable[dict[str, object]], hint: str = "") -> list[str]:
    """What to say of rows whose "others" is more than a quiet machine has."""
    worst = max((row["others"] for row in rows), default=0.0)
    if worst <= QUIET:
        return []
    return [
        f"other processes took up to {100 * worst:.0f} % of the processors{hint}: such rows mean "
        "little, least of all for what starts threads; measure again on a quiet machine"
    ]


def run_cases(
    benchmark: Benchmark[CaseT],
    cases: Iterable[CaseT],
    device: torch.device,
    json: Path | None,
) -> None:
    """Measure all cases and print the table.

    Args:
        benchmark: whose cases.
        cases: in the order of the table.
        device: for the header.
        json: written anew after every case, so that an interrupted run leaves what it measured.
    """
    found: dict[str, object] = {"header": header(device), "rows": [], "absent": {}}
    for case in cases:
        name = benchmark.name(case)
        print(f"{name} ...", file=sys.stderr, flush=True)
        try:
            rows, absent = benchmark.measure(case)
        except torch.OutOfMemoryError:
            rows, absent = [], {name: "out of GPU memory"}
        found["rows"] += rows
        found["absent"] |= absent
        if json:
            write_json(json, {**found, "table": benchmark.lines(found)})
    head = [*benchmark.explanation, *header_lines(found["header"]), ""]
    print("\n".join([*head, *benchmark.lines(found)]), flush=True)
