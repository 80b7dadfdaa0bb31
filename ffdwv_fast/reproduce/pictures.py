"""Learning curves of arms, their differences, and the picture of S."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from ffdwv_fast import similarity
from ffdwv_fast.atomic_file import replaced_file
from ffdwv_fast.models.build import as_file_name
from ffdwv_fast.reproduce.plans import Arm, by_network
from ffdwv_fast.reproduce.statistics import CONFIDENCE
from ffdwv_fast.reproduce.store import FinishedRun
from ffdwv_fast.reproduce.tables import Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Curves = Mapping[Arm, Mapping[int, FinishedRun]]


def draw_learning_curves(results: Curves, folder: Path, name: str) -> list[Path]:
    """Test error over the epochs, a picture for each data set and network.

    A thin line is a seed, the thick one the mean.

    Args:
        results: finished runs by arm and seed.
        folder: for the pictures.
        name: that their file names begin with.

    Returns:
        The files.
    """
    trained = (arm for arm, runs in results.items() if runs)
    files = []
    for (dataset, model), arms in by_network(trained, lambda arm: arm).items():
        path = folder / f"{name}-{dataset}-{as_file_name(model)}.png"
        _draw_curves(f"{dataset}, {model}", arms, results, path)
        files.append(path)
    return files


def _draw_curves(title: str, arms: Sequence[Arm], results: Curves, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for number, arm in enumerate(arms):
        curves = [_errors_by_epoch(run) for run in results[arm].values()]
        for curve in curves:
            axes.plot(curve.keys(), curve.values(), color=f"C{number}", lw=0.5, alpha=0.4)
        common = sorted(set.intersection(*map(set, curves)))
        mean = [fmean(curve[epoch] for curve in curves) for epoch in common]
        marker = "o" if len(common) < 30 else ""
        axes.plot(
            *(common, mean),
            color=f"C{number}",
            lw=1.8,
            marker=marker,
            ms=3,
            label=f"{_name(arm)} (n = {len(curves)})",
        )
    axes.set(title=title, xlabel="epoch", ylabel="top-1 test error, %", ylim=(0, None))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    axes.legend()
    _save(figure, path)


def _name(arm: Arm) -> str:
    return f"{arm.method} {arm.words}".strip()


def _save(figure: "Figure", path: Path) -> None:
    with replaced_file(path) as stream:
        figure.savefig(stream, format="png", dpi=120)


def _errors_by_epoch(run: FinishedRun) -> dict[int, float]:
    return {e["epoch"]: e["test_error"] for e in run.epochs() if e["test_error"] is not None}


def draw_differences(
    rows: Sequence[Row], against: Sequence[str], folder: Path, name: str
) -> list[Path]:
    """Paired differences with their intervals, a picture for each data set and network.

    Args:
        rows: of a table.
        against: the methods that they are compared with, a panel each.
        folder: for the pictures.
        name: that their file names begin with.

    Returns:
        The files; none for a data set and network without an interval.
    """
    shown = (row for row in rows if any(d.low is not None for d in row.differences.values()))
    files = []
    for (dataset, model), own in by_network(shown, lambda row: row.arm).items():
        path = folder / f"{name}-{dataset}-{as_file_name(model)}-differences.png"
        _draw_differences(f"{dataset}, {model}", own, against, path)
        files.append(path)
    return files


def _draw_differences(title: str, rows: Sequence[Row], against: Sequence[str], path: Path) -> None:
    from matplotlib.figure import Figure

    against = [m for m in against if any(m in row.differences for row in rows)]
    size = (1.5 + 3.5 * len(against), 1.2 + 0.35 * len(rows))
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(1, len(against), sharex=True, sharey=True, squeeze=False)[0]
    for axes, method in zip(panels, against, strict=True):
        for place, row in enumerate(rows):
            d = row.differences.get(method)
            if d is not None and d.low is not None:
                reach = d.high - d.mean
                axes.errorbar(d.mean, place, xerr=reach, fmt="o", color="C0", capsize=3)
        axes.axvline(0, color="black", lw=0.8)
        axes.set(title=f"minus {method}", xlabel="points of test error; left is better")
        axes.grid(axis="x", alpha=0.3)
    panels[0].set_yticks(range(len(rows)), [_name(row.arm) for row in rows])
    panels[0].set_ylim(len(rows) - 0.5, -0.5)
    figure.suptitle(f"{title}: paired differences, {100 * CONFIDENCE:.0f} % intervals")
    _save(figure, path)


def draw_similarity(dataset: str, source: str, folder: Path) -> list[Path]:
    """Figure 2: S of a data set as a picture and as numbers; prints it.

    Args:
        dataset: a name in CLASS_NAMES.
        source: of the word vectors.
        folder: for the files.

    Returns:
        The files.
    """
    base = folder / f"figure2-{dataset}-{Path(source).name}"
    files = [base.with_name(f"{base.name}.{suffix}") for suffix in ("png", "csv")]
    similarity.main(
        [
            *("--dataset", dataset, "--word-vectors", source),
            *("--plot", str(files[0]), "--save", str(files[1])),
        ]
    )
    return files
