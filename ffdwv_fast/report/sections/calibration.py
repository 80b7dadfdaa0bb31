"""Whether a network is right as often as it is sure."""

from collections.abc import Mapping, Sequence

import torch

from ffdwv_fast.engine.calibration import ECE_BINS, Bin, expected_calibration_error, reliability
from ffdwv_fast.report.runs import Group
from ffdwv_fast.report.section import Report, Section
from ffdwv_fast.reproduce.statistics import Sample, sample


def _content(report: Report) -> Mapping[str, object] | None:
    if not report.predicted:
        return None
    return {"number": ECE_BINS, "diagrams": [_diagram(report, g) for g in report.predicted]}


def _diagram(report: Report, group: Group) -> Mapping[str, object]:
    logits = torch.cat([p.logits for _, p in group.predicted])
    labels = torch.cat([p.labels for _, p in group.predicted])
    bins = reliability(logits, labels)
    error = sample([expected_calibration_error(p.logits, p.labels) for _, p in group.predicted])
    return {
        "group": group,
        "runs": len(group.predicted),
        "ece": error,
        "bins": [one for one in bins if one.images],
        "chart": _chart(report, group, bins, error),
    }


def _chart(report: Report, group: Group, bins: Sequence[Bin], error: Sample) -> str:
    width = 1 / len(bins)
    filled = [one for one in bins if one.images]
    images = sum(one.images for one in bins)

    def plot(axes) -> None:
        middles = [(one.low + one.high) / 2 for one in filled]
        axes.bar(
            middles,
            [one.images / images for one in filled],
            width,
            color="#b8b8b8",
            label="share of the images",
        )
        axes.plot([0, 1], [0, 1], "--", color="#444444", lw=1, label="perfectly calibrated")
        axes.plot(
            [one.confidence for one in filled],
            [one.accuracy for one in filled],
            "o-",
            color=group.colour,
            ms=5,
            label="accuracy of the bin",
        )
        axes.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.02))
        axes.set_aspect("equal")
        axes.grid(alpha=0.3)
        axes.figure.legend(loc="outside lower left", fontsize=8, frameon=False, ncols=2)

    text = (
        f"Reliability diagram of {group.name}: accuracy over confidence in {len(bins)} bins, "
        f"{len(filled)} of them with images; expected calibration error {error.mean:.2f} percent."
    )
    return report.pictures.chart(plot, (4.3, 4.6), text)


CALIBRATION = Section("calibration", "Calibration", _content)
