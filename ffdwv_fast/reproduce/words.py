"""What a table's differences and runs are, in words."""

from collections.abc import Mapping, Sequence

from ffdwv_fast.engine.config import TrainConfig
from ffdwv_fast.reproduce.plans import Arm, Question, by_network
from ffdwv_fast.reproduce.statistics import CONFIDENCE, PairedDifference
from ffdwv_fast.reproduce.store import FinishedRun
from ffdwv_fast.reproduce.tables import Results, Row, difference

SETTINGS = ("epochs", "train_limit", "batch_size", "lr", "weight_decay", "amp", "loss_scale")


def readings(rows: Sequence[Row]) -> list[str]:
    """A sentence for each difference of a table.

    Args:
        rows: of the table.
    """
    return [
        f"{row.arm.label}: {_reading(d, method)}."
        for row in rows
        for method, d in row.differences.items()
    ]


def answers(questions: Sequence[Question], results: Results) -> list[str]:
    """A sentence for each question, data set, network and source of vectors.

    Args:
        questions: of a plan.
        results: finished runs by arm and seed.
    """
    found = []
    for question in questions:
        for arm in (arm for arm in results if arm.method == question.method):
            for other in (a for a in results if a.method == question.other):
                d = difference(arm, other, results) if _alike(arm, other) else None
                if d is not None:
                    found.append(
                        f"{question.part} ({arm.label} minus {other.method}): "
                        f"{_reading(d, other.method)}."
                    )
    return found


def _alike(arm: Arm, other: Arm) -> bool:
    same = (arm.dataset, arm.model) == (other.dataset, other.model)
    return same and (not arm.words or not other.words or arm.words == other.words)


def _reading(d: PairedDifference, method: str) -> str:
    if d.low is None:
        return f"{_amount(d.mean)} than in the one run of {method}"
    if d.low > 0 or d.high < 0:
        ends = sorted((abs(d.low), abs(d.high)))
        return f"{_amount(d.mean)} ({ends[0]:.2f} to {ends[1]:.2f}) than with {method} (n = {d.n})"
    return (
        f"no difference is shown; the {100 * CONFIDENCE:.0f} % interval goes from {abs(d.low):.2f} "
        f"points fewer errors to {d.high:.2f} points more than with {method} (n = {d.n})"
    )


def _amount(points: float) -> str:
    return f"{abs(points):.2f} points {'more' if points > 0 else 'fewer'} errors"


def settings(results: Results) -> list[str]:
    """A line on how the runs of each data set and network were trained, and one on where.

    Args:
        results: finished runs by arm and seed.
    """
    trained = {arm: [run.config for run in runs.values()] for arm, runs in results.items() if runs}
    everything = [run for runs in results.values() for run in runs.values()]
    lines = [f"{recipe}." for recipe in recipes_of(trained)]
    return lines + ([f"Trained on {_machines(everything)}."] if everything else [])


def recipes_of(configs: Mapping[Arm, Sequence[TrainConfig]]) -> list[str]:
    """How the runs of each data set and network are trained, in a few words for each.

    Args:
        configs: by arm.
    """
    return [
        f"{' '.join(names)}: {_recipe([config for arm in arms for config in configs[arm]])}"
        for names, arms in by_network(configs, lambda arm: arm).items()
    ]


def _recipe(configs: Sequence[TrainConfig]) -> str:
    texts = {name: _values(name, configs) for name in SETTINGS}
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
