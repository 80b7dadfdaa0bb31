"""What a table's differences and runs are, in words."""

from collections.abc import Mapping, Sequence

from ffdwv_fast.engine.config import TrainConfig
from ffdwv_fast.reproduce.statistics import CONFIDENCE, PairedDifference
from ffdwv_fast.reproduce.store import FinishedRun
from ffdwv_fast.reproduce.tables import Results, Row

SETTINGS = ("epochs", "train_limit", "batch_size", "lr", "weight_decay", "amp", "loss_scale")


def readings(rows: Sequence[Row]) -> list[str]:
    """A sentence for each difference of a table.

    Args:
        rows: of the table.
    """
    return [
        f"{row.arm.label}: {_reading(difference)} {method}{_n(difference)}."
        for row in rows
        for method, difference in row.differences.items()
    ]


def _n(d: PairedDifference) -> str:
    return f" (n = {d.n})" if d.n > 1 else ""


def _reading(d: PairedDifference) -> str:
    if d.low is None:
        return f"{_amount(d.mean)} than in the one run of"
    if d.low > 0 or d.high < 0:
        ends = sorted((abs(d.low), abs(d.high)))
        return f"{_amount(d.mean)} ({ends[0]:.2f} to {ends[1]:.2f}) than with"
    return (
        f"no difference is shown; the {100 * CONFIDENCE:.0f} % interval goes from {-d.low:.2f} "
        f"points fewer errors to {d.high:.2f} points more than with"
    )


def _amount(points: float) -> str:
    return f"{abs(points):.2f} points {'more' if points > 0 else 'fewer'} errors"


def settings(results: Results) -> list[str]:
    """A line on how the runs of each data set and network were trained, and one on where."""
    groups: dict[tuple[str, str], list[FinishedRun]] = {}
    for arm, runs in results.items():
        groups.setdefault((arm.dataset, arm.model), []).extend(runs.values())
    lines = [f"{' '.join(names)}: {_recipe(runs)}." for names, runs in groups.items() if runs]
    everything = [run for runs in groups.values() for run in runs]
    return lines + ([f"Trained on {_machines(everything)}."] if everything else [])


def _recipe(runs: Sequence[FinishedRun]) -> str:
    texts = {name: _values(name, [run.config for run in runs]) for name in SETTINGS}
    images = texts.pop("train_limit").replace("None", "all")
    parts = [f"{name.replace('_', ' ')} {text}" for name, text in texts.items()]
    return ", ".join([f"training images: {images}", *parts])


def _values(name: str, configs: Sequence[TrainConfig]) -> str:
    return " or ".join(sorted({str(getattr(config, name)) for config in configs}))


def _machines(runs: Sequence[FinishedRun]) -> str:
    return "; ".join(sorted({_machine(run.summary) for run in runs}))


def _machine(summary: Mapping[str, object]) -> str:
    hardware, versions = summary.get("hardware", {}), summary.get("versions", {})
    what = hardware.get("gpu") or hardware.get("cpu") or "an unnamed machine"
    return f"{what}, torch {versions.get('torch', 'unknown')}"
