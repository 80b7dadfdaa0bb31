"""The results of all runs beside each other: errors with their spread, and the other metrics."""

from collections.abc import Mapping, Sequence

from ffdwv_fast.report.runs import Group
from ffdwv_fast.report.section import Report, Section
from ffdwv_fast.report.svg import wrapped

# title: name in summary.json, digits behind the point
METRICS = {
    "NLL": ("{on}_nll", 3),
    "ECE, %": ("{on}_ece", 2),
    "Top-5 error, %": ("{on}_top5_error", 2),
    "Errors inside the superclass, %": ("{on}_errors_in_superclass", 1),
    "Rank correlation of confusions and S": ("{on}_confusion_correlation", 2),
    "Error on the training images, %": ("train_error", 2),
}
ERROR = "{on}_error"


def _content(report: Report) -> Mapping[str, object]:
    metrics = {
        title: metric
        for title, metric in METRICS.items()
        if any(group.sample(metric[0]) for group in report.groups)
    }
    return {
        "rows": [
            {
                "group": group,
                "error": group.sample(ERROR),
                "values": [(group.sample(name), digits) for name, digits in metrics.values()],
                "state": _state(group),
            }
            for group in report.groups
        ],
        "metrics": list(metrics),
        "notes": [*report.notes, *_differing(report.groups)],
        "charts": [
            (title, _chart(report, title, groups))
            for title, groups in report.by_images(report.groups).items()
            if any(group.sample(ERROR) for group in groups)
        ],
    }


def _state(group: Group) -> str:
    """What is unfinished, in words."""
    unfinished = [run for run in group.runs if run.summary is None]
    return "; ".join(
        f"seed {run.config.seed} is unfinished: {len(run.epochs)} of {run.config.epochs} epochs"
        for run in unfinished
    )


def _differing(groups: Sequence[Group]) -> list[str]:
    """Runs whose networks, asked again, have another error than they had at their end."""
    return [
        f"{run.folder}: the error computed for this page is {predictions.error:.2f} %, and "
        f"{run.value(ERROR):.2f} % in its summary; its images may have changed, or this machine "
        "rounds differently."
        for group in groups
        for run, predictions in group.predicted
        if round(predictions.error, 2) != round(run.value(ERROR), 2)
    ]


def _chart(report: Report, title: str, groups: Sequence[Group]) -> str:
    samples = [(group, group.sample(ERROR)) for group in groups if group.sample(ERROR)]

    def plot(axes) -> None:
        for row, (group, sample) in enumerate(samples):
            values = [v for v in (run.value(ERROR) for run in group.runs) if v is not None]
            below = [row + 0.2 + 0.05 * (number % 4) for number in range(len(values))]
            axes.scatter(values, below, s=18, color=group.colour, alpha=0.6, lw=0)
            axes.errorbar(
                sample.mean, row, xerr=sample.sd, fmt="D", color=group.colour, capsize=4, ms=6
            )
            axes.text(
                sample.mean, row - 0.16, wrapped(group.name), ha="center", va="bottom", fontsize=8
            )
        axes.set(xlabel="top-1 error, %", ylim=(len(samples) - 0.5, -0.6), yticks=[])
        axes.margins(x=0.3)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x", alpha=0.3)

    said = "; ".join(
        f"{group.name}: mean {s.mean:.2f}"
        + ("" if s.sd is None else f", standard deviation {s.sd:.2f}")
        + f", {s.n} runs"
        for group, s in samples
    )
    text = f"Top-1 error in percent, {title}. {said}."
    return report.pictures.chart(plot, (4.3, 0.9 + 0.6 * len(samples)), text)


OVERVIEW = Section("overview", "Results", _content)
