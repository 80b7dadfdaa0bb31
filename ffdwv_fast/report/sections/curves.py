"""Errors and losses over the epochs: a thin line for each seed, the mean as a thick one."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import fmean

from ffdwv_fast.engine.trainer import EpochRecord
from ffdwv_fast.report.runs import Group
from ffdwv_fast.report.section import Report, Section
from ffdwv_fast.report.svg import wrapped

Value = Callable[[EpochRecord], float | None]
Line = tuple[str, str, Value]  # name, style, value

SIZE = (4.3, 3.2)  # inches: read on a phone without zooming
FEW_EPOCHS = 30  # which a marker each does not crowd


def _evaluated(record: EpochRecord) -> float | None:
    found = record.evaluated_error
    return None if found is None else found[1]


def _cross_entropy(record: EpochRecord) -> float | None:
    """None where it is all of the loss."""
    return None if record.train_kl is None else record.train_ce


# title, axis, lines of a group
CHARTS: tuple[tuple[str, str, tuple[Line, ...]], ...] = (
    ("Error on the images evaluated on", "top-1 error, %", (("", "-", _evaluated),)),
    ("Error on the training images", "top-1 error, %", (("", "-", lambda r: r.train_error),)),
    (
        "Training loss; dotted: the cross-entropy in it",
        "loss",
        (("", "-", lambda r: r.train_loss), ("cross-entropy of ", ":", _cross_entropy)),
    ),
)


def _content(report: Report) -> Mapping[str, object]:
    begun = [group for group in report.groups if any(run.epochs for run in group.runs)]
    return {
        "families": [
            {
                "name": images,
                "charts": [
                    (title, _chart(report, f"{title}: {images}", axis, lines, groups))
                    for title, axis, lines in CHARTS
                ],
                "groups": groups,
                "rows": list(_rows(groups)),
            }
            for images, groups in report.by_images(begun).items()
        ]
    }


def _curves(group: Group, value: Value) -> list[dict[int, float]]:
    """For each run the value by epoch, where there is one."""
    found = [{r.epoch: v for r in run.epochs if (v := value(r)) is not None} for run in group.runs]
    return [curve for curve in found if curve]


def _mean(curves: Sequence[Mapping[int, float]]) -> dict[int, float]:
    """Over the epochs that all curves have."""
    common = sorted(set.intersection(*map(set, curves))) if curves else []
    return {epoch: fmean(curve[epoch] for curve in curves) for epoch in common}


def _chart(
    report: Report, text: str, axis: str, lines: Sequence[Line], groups: Sequence[Group]
) -> str:
    from matplotlib.ticker import MaxNLocator

    def plot(axes) -> None:
        for group in groups:
            for name, style, value in lines:
                curves = _curves(group, value)
                for curve in curves if len(curves) > 1 else ():
                    axes.plot(*_points(curve), style, color=group.colour, lw=0.6, alpha=0.5)
                mean = _mean(curves)
                axes.plot(
                    *(*_points(mean), style),
                    color=group.colour,
                    lw=1.8,
                    ms=3,
                    marker="o" if len(mean) < FEW_EPOCHS else "",
                    label=None if name else wrapped(f"{group.name} (n = {len(curves)})"),
                )
        axes.set(xlabel="epoch", ylabel=axis, ylim=(0, None))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.figure.legend(loc="outside lower left", fontsize=8, frameon=False)

    height = SIZE[1] + sum(0.04 + 0.14 * (1 + wrapped(g.name).count("\n")) for g in groups)
    ends = [
        f"{name}{group.name}: {values[0]:.4g} at first, {values[-1]:.4g} at last"
        for group in groups
        for name, _, value in lines
        if (values := list(_mean(_curves(group, value)).values()))
    ]
    return report.pictures.chart(plot, (SIZE[0], height), f"{text}. {'; '.join(ends)}.")


def _points(curve: Mapping[int, float]) -> tuple[list[int], list[float]]:
    return list(curve), list(curve.values())


def _rows(groups: Sequence[Group]) -> Iterator[tuple[int, list[float | None]]]:
    """Epoch, and for each group the mean errors: on the images evaluated on, in training."""
    values = (_evaluated, lambda r: r.train_error)
    means = [_mean(_curves(group, value)) for group in groups for value in values]
    for epoch in sorted({epoch for mean in means for epoch in mean}):
        yield epoch, [mean.get(epoch) for mean in means]


CURVES = Section("curves", "Learning curves", _content)
