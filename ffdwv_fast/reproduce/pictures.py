"""Learning curves of arms, and the picture of S."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

from ffdwv_fast import similarity
from ffdwv_fast.atomic_file import replaced_file
from ffdwv_fast.models.build import as_file_name
from ffdwv_fast.reproduce.plans import Arm
from ffdwv_fast.reproduce.store import FinishedRun

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
    groups: dict[tuple[str, str], list[Arm]] = {}
    for arm, runs in results.items():
        if runs:
            groups.setdefault((arm.dataset, arm.model), []).append(arm)
    files = []
    for (dataset, model), arms in groups.items():
        path = folder / f"{name}-{dataset}-{as_file_name(model)}.png"
        _draw(f"{dataset}, {model}", arms, results, path)
        files.append(path)
    return files


def _draw(title: str, arms: Sequence[Arm], results: Curves, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for number, arm in enumerate(arms):
        curves = [_errors_by_epoch(run) for run in results[arm].values()]
        for curve in curves:
            axes.plot(curve.keys(), curve.values(), color=f"C{number}", lw=0.5, alpha=0.4)
        common = sorted(set.intersection(*map(set, curves)))
        mean = [fmean(curve[epoch] for curve in curves) for epoch in common]
        label = f"{arm.method} {arm.words}".strip()
        marker = "o" if len(common) < 30 else ""
        axes.plot(
            *(common, mean),
            color=f"C{number}",
            lw=1.8,
            marker=marker,
            ms=3,
            label=f"{label} (n = {len(curves)})",
        )
    axes.set(title=title, xlabel="epoch", ylabel="top-1 test error, %", ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend()
    with replaced_file(path) as stream:
        figure.savefig(stream, format="png", dpi=120)


def _errors_by_epoch(run: FinishedRun) -> dict[int, float]:
    return {e["epoch"]: e["test_error"] for e in run.epochs() if e["test_error"] is not None}


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
