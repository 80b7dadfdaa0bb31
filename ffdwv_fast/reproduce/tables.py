"""Tables of arms: the paper's value, ours, and the differences on the same seeds."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ffdwv_fast.engine.final_metrics import FinalMetrics
from ffdwv_fast.reproduce.paper import PAPER, TRAIN_COST_ERRATUM, VECTORS
from ffdwv_fast.reproduce.plans import Arm, Plan
from ffdwv_fast.reproduce.statistics import PairedDifference, Sample, paired_difference, sample
from ffdwv_fast.reproduce.store import FinishedRun

Results = Mapping[Arm, Mapping[int, FinishedRun]]
ERROR = "test_error"
METRICS = {
    "nll": "NLL",
    "ece": "ECE, %",
    "top5_error": "top-5 error, %",
    "errors_in_superclass": "errors inside the superclass, %",
    "confusion_correlation": "rank correlation of confusions and S",
}
TIMES = {"seconds": "seconds a run, evaluation included", "images_per_second": "images/s"}
NOTHING = "-"


class Row(NamedTuple):
    """An arm's line.

    Attributes:
        arm: which.
        seeds: the seeds that are done.
        error: test error of the last epoch in percent; None without runs.
        peer_error: the same of the second network, of methods that train two.
        differences: this arm's error minus another one's, by that one's method.
        metrics: by name in METRICS; without those that some run lacks.
        costs: train_flops, test_flops and parameters; empty without runs.
        times: what was measured of these runs, by name in TIMES; empty without runs.
    """

    arm: Arm
    seeds: tuple[int, ...]
    error: Sample | None
    peer_error: Sample | None
    differences: dict[str, PairedDifference]
    metrics: dict[str, Sample]
    costs: dict[str, int]
    times: dict[str, Sample]


def row(arm: Arm, against: Sequence[str], results: Results) -> Row:
    """What the runs say of an arm.

    Args:
        arm: which.
        against: methods to compare it with, on the same data set and network.
        results: finished runs by arm and seed.
    """
    runs = results.get(arm, {})
    differences = {}
    for method in against:
        other = _opposite(arm, method, results)
        found = other and difference(arm, other, results)
        if found:
            differences[method] = found
    last = next(iter(runs.values())).summary if runs else {}
    return Row(
        arm,
        tuple(sorted(runs)),
        sample(list(_errors(runs).values())),
        _of_all(runs, "peer_error"),
        differences,
        {n: s for n in METRICS if (s := _of_all(runs, f"test_{n}")) is not None},
        {n: last[n] for n in ("train_flops", "test_flops", "parameters") if n in last},
        {n: s for n in TIMES if (s := _of_all(runs, n)) is not None},
    )


def difference(arm: Arm, other: Arm, results: Results) -> PairedDifference | None:
    """An arm's error minus another one's over the seeds of both; None where they share no seed."""
    return paired_difference(_errors(results.get(arm, {})), _errors(results.get(other, {})))


def _opposite(arm: Arm, method: str, results: Results) -> Arm | None:
    """The arm of that method to compare with: of the same vectors where it uses some."""
    if arm.method == method:
        return None
    same = [a for a in results if (a.dataset, a.model) == (arm.dataset, arm.model)]
    those = [a for a in same if a.method == method]
    same_words = [a for a in those if a.source == arm.source]
    return next(iter(same_words or those), None)


def _errors(runs: Mapping[int, FinishedRun]) -> dict[int, float]:
    return {seed: runs[seed].summary[ERROR] for seed in sorted(runs)}


def _of_all(runs: Mapping[int, FinishedRun], name: str) -> Sample | None:
    values = [runs[seed].summary.get(name) for seed in sorted(runs)]
    return None if None in values else sample(values)


def markdown(
    plan: Plan, rows: Sequence[Row], readings: Sequence[str], sentences: Sequence[str]
) -> str:
    """A plan's tables with their notes.

    Args:
        plan: whose.
        rows: in order.
        readings: sentences on what the rows say.
        sentences: on how they came to be, to stand before the general notes.
    """
    datasets = ", ".join(dict.fromkeys(row.arm.dataset for row in rows))
    parts = [f"## {plan.title} ({datasets})", _table(_error_cells(plan, rows))]
    if any(r.metrics for r in rows):
        parts += ["Means over the same seeds:", _table(_metric_cells(rows))]
    if readings:
        parts += ["In words:", _bullets(readings)]
    return "\n\n".join([*parts, "Notes:", _bullets([*sentences, *_notes(rows)])]) + "\n"


def _bullets(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {sentence}" for sentence in sentences)


def _table(cells: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    head, *body = (
        "| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |"
        for line in cells
    )
    rule = "|" + "|".join("-" * (w + 2) for w in widths) + "|"
    return "\n".join([head, rule, *body])


def _error_cells(plan: Plan, rows: Sequence[Row]) -> list[list[str]]:
    head = [*_ARM, "paper, %", "ours, %", "n"]
    head += [f"minus {method} [95 % interval], n" for method in plan.against]
    head += ["TrCost", "paper's", "TeCost", "paper's", "parameters"]
    return [head, *(_error_line(plan, r) for r in rows)]


def _error_line(plan: Plan, r: Row) -> list[str]:
    arm, paper = r.arm, PAPER.get((r.arm.dataset, r.arm.model, r.arm.method))
    line = _arm_cells(arm)
    spread = "" if paper is None or paper.spread is None else f" ± {paper.spread}"
    line += [NOTHING if paper is None else f"{paper.error}{spread}"]
    line += [_sample(r.error, 2), str(len(r.seeds))]
    line += [_difference(r.differences.get(method)) for method in plan.against]
    mark = "†" if paper is not None and paper.erratum else ""
    for name in ("train_flops", "test_flops"):
        printed = paper and getattr(paper, name)
        line += [_flops(r.costs.get(name)), _flops(printed) + (mark if "train" in name else "")]
    parameters = r.costs.get("parameters")
    return [*line, NOTHING if parameters is None else f"{parameters:,}"]


def _metric_cells(rows: Sequence[Row]) -> list[list[str]]:
    shown = [name for name in METRICS if any(name in r.metrics for r in rows)]
    head = [*_ARM, *(METRICS[name] for name in shown)]
    lines = [
        [*_arm_cells(r.arm), *(_sample(r.metrics.get(name), 3) for name in shown)]
        for r in rows
        if r.metrics
    ]
    return [head, *lines]


_ARM = ("data set", "network", "method", "words")


def _arm_cells(arm: Arm) -> list[str]:
    return [arm.dataset, arm.model, arm.method, arm.words or NOTHING]


def times_markdown(rows: Sequence[Row]) -> str:
    """How long the runs took, which is no property of a method: apart from the other tables.

    Args:
        rows: in order.
    """
    head = [*_ARM, *TIMES.values(), "n"]
    lines = [
        [*_arm_cells(r.arm), *(_sample(r.times.get(name), 1) for name in TIMES), str(len(r.seeds))]
        for r in rows
        if r.times
    ]
    return f"Measured time:\n\n{_table([head, *lines])}\n" if lines else ""


def time_records(plan: Plan, rows: Sequence[Row]) -> list[dict[str, object]]:
    """The same, unrounded, a dictionary for each row."""
    return [
        {
            **_arm_record(plan, r),
            **{name: _dictionary(r.times.get(name)) for name in TIMES},
        }
        for r in rows
    ]


def _sample(s: Sample | None, digits: int) -> str:
    if s is None:
        return NOTHING
    return f"{s.mean:.{digits}f}" + ("" if s.sd is None else f" ± {s.sd:.{digits}f}")


def _difference(d: PairedDifference | None) -> str:
    if d is None:
        return NOTHING
    interval = "" if d.low is None else f" [{d.low:+.2f}, {d.high:+.2f}]"
    return f"{d.mean:+.2f}{interval}, {d.n}"


def _flops(value: float | None) -> str:
    return NOTHING if value is None else f"{value / 1e8:.3g}"


def _notes(rows: Sequence[Row]) -> list[str]:
    papers = [PAPER.get((r.arm.dataset, r.arm.model, r.arm.method)) for r in rows]
    notes = [
        "Top-1 test error of the last epoch: mean ± standard deviation (n - 1) of n seeds. "
        "Differences are of runs with the same seed (initial weights, order of the images), with "
        "Student's t interval: one that holds 0 shows no difference.",
        "TrCost: forward passes of every network that a training step runs; TeCost: one forward "
        "pass of the tested one; 1e8 FLOPs for an image, a multiply-accumulate being 2.",
    ]
    if any(papers):
        notes.append(f"The paper's word vectors are {VECTORS}.")
    if any(paper is not None and paper.erratum for paper in papers):
        notes.append(f"† {TRAIN_COST_ERRATUM}.")
    peers = [
        f"{r.arm.label}: of two networks the first is shown; the second has "
        f"{_sample(r.peer_error, 2)} %."
        for r in rows
        if r.peer_error is not None
    ]
    return notes + peers


def records(plan: Plan, rows: Sequence[Row]) -> list[dict[str, object]]:
    """A dictionary for each row, unrounded: what the JSON and CSV files hold."""
    return [_record(plan, r) for r in rows]


def _record(plan: Plan, r: Row) -> dict[str, object]:
    paper = PAPER.get((r.arm.dataset, r.arm.model, r.arm.method))
    found: dict[str, object] = {
        **_arm_record(plan, r),
        "paper": None if paper is None else paper._asdict(),
        "error": _dictionary(r.error),
        "peer_error": _dictionary(r.peer_error),
    }
    found |= {f"minus_{method}": _dictionary(r.differences.get(method)) for method in plan.against}
    found |= {name: _dictionary(r.metrics.get(name)) for name in FinalMetrics._fields}
    return found | {n: r.costs.get(n) for n in ("train_flops", "test_flops", "parameters")}


def _arm_record(plan: Plan, r: Row) -> dict[str, object]:
    return {
        "table": plan.name,
        **r.arm._asdict(),
        "source": r.arm.words or None,
        "seeds": list(r.seeds),
    }


def _dictionary(values: Sample | PairedDifference | None) -> dict[str, object] | None:
    return None if values is None else values._asdict()


def as_json(table: Sequence[Mapping[str, object]]) -> str:
    """Records as JSON text."""
    return json.dumps(table, indent=2) + "\n"


def as_csv(table: Sequence[Mapping[str, object]]) -> str:
    """Records as CSV text: nested names joined by a dot, lists by spaces."""
    flat = [_flat(record) for record in table]
    names = list(dict.fromkeys(name for record in flat for name in record))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return text.getvalue()


def _flat(record: Mapping[str, object]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in record.items():
        if isinstance(value, Mapping):
            found |= {f"{name}.{inner}": v for inner, v in value.items()}
        elif isinstance(value, list):
            found[name] = " ".join(map(str, value))
        elif value is not None:
            found[name] = value
    return found
