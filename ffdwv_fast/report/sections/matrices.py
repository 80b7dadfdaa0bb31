"""S, which the words give, beside the confusions, which the images give."""

from argparse import Namespace
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch import Tensor

from ffdwv_fast.errors import InputError
from ffdwv_fast.report.runs import Group
from ffdwv_fast.report.section import Report, Section
from ffdwv_fast.semantics.arguments import similarity_from_arguments
from ffdwv_fast.semantics.heatmap import MOST_CLASSES_WITH_VALUES, draw_heatmap

MOST_CONFUSIONS = 30
NEAREST = 3


class Confusion(NamedTuple):
    """A class taken for another, over all runs of a group.

    Attributes:
        true: class.
        predicted: class.
        images: how often.
        share: percent of the true class's images.
        similarity: S of the two; None without S.
    """

    true: str
    predicted: str
    images: int
    share: float
    similarity: float | None


def _content(report: Report) -> Mapping[str, object] | None:
    if not report.predicted:
        return None
    return {"pairs": [_pair(report, group) for group in report.predicted]}


def _pair(report: Report, group: Group) -> Mapping[str, object]:
    names = group.predicted[0][1].class_names
    confusion = sum(predictions.confusion for _, predictions in group.predicted)
    matrix, why_not = _similarity(group, names)
    return {
        "group": group,
        "runs": len(group.predicted),
        "similarity": None if matrix is None else _heatmap(report, group, matrix, names),
        "why_not": why_not,
        "confusion": _confusion_chart(report, group, confusion, names),
        "confusions": confusions(confusion, names, matrix),
        "nearest": [] if matrix is None else _nearest(matrix, names),
    }


def _similarity(group: Group, names: Sequence[str]) -> tuple[Tensor | None, str]:
    """S as the run had it, or why there is none."""
    of = group.config.similarity
    if of is None:
        return None, f"{group.config.method} was trained without S."
    args = Namespace(
        word_vectors=of["source"],
        alias=of["aliases"],
        alias_file=None,
        metric=of["metric"],
        temperature=repr(of["temperature"]),
        allow_pickle=False,
    )
    try:
        return similarity_from_arguments(args, names).matrix, ""
    except InputError as error:
        return None, f"S cannot be made again: {error}."


def confusions(
    confusion: Tensor, names: Sequence[str], similarity: Tensor | None
) -> list[Confusion]:
    """The most frequent ones, most frequent first; none that did not occur.

    Args:
        confusion: [C, C], true by predicted.
        names: of the C classes.
        similarity: S, [C, C].
    """
    off_diagonal = confusion.clone().fill_diagonal_(0)
    found = []
    for cell in off_diagonal.flatten().argsort(descending=True, stable=True)[:MOST_CONFUSIONS]:
        true, predicted = divmod(int(cell), len(names))
        images = int(off_diagonal[true, predicted])
        if images:
            share = 100 * images / int(confusion[true].sum())
            s = None if similarity is None else float(similarity[true, predicted])
            found.append(Confusion(names[true], names[predicted], images, share, s))
    return found


def _nearest(matrix: Tensor, names: Sequence[str]) -> list[tuple[str, float, str]]:
    """For each class: its name, its own entry of S, its nearest classes in words."""
    top = matrix.clone().fill_diagonal_(-1).topk(min(NEAREST, len(names) - 1))
    found = []
    for row, name in enumerate(names):
        cells = zip(top.indices[row].tolist(), top.values[row].tolist(), strict=True)
        near = ", ".join(f"{names[column]} {value:.3f}" for column, value in cells)
        found.append((name, float(matrix[row, row]), near))
    return found


def _heatmap(report: Report, group: Group, matrix: Tensor, names: Sequence[str]) -> str:
    text = f"S of {group.name} as a heatmap of {len(names)} by {len(names)} classes."
    title = "S: the soft target of each class"
    return report.pictures.drawn(
        lambda stream: draw_heatmap(stream, "svg", matrix, names, title), text
    )


def _confusion_chart(report: Report, group: Group, confusion: Tensor, names: Sequence[str]) -> str:
    from matplotlib.colors import PowerNorm

    few = len(names) <= MOST_CLASSES_WITH_VALUES
    font = 9 if few else max(2.5, min(8.0, 520 / len(names)))
    side = max(4.2, 0.62 * len(names)) if few else max(4.2, min(16.0, 0.145 * len(names)))
    counts = confusion.double().numpy()
    shares = 100 * counts / counts.sum(axis=1, keepdims=True).clip(min=1)

    def plot(axes) -> None:
        # The square root of the share, as most confusions are rare.
        image = axes.imshow(shares, cmap="viridis", norm=PowerNorm(0.5, vmin=0, vmax=100))
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=font)
        axes.set_yticks(range(len(names)), names, fontsize=font)
        axes.set(xlabel="predicted class", ylabel="true class", title="Confusions: images")
        axes.spines[:].set_visible(False)
        bar = axes.figure.colorbar(image, ax=axes, shrink=0.85, aspect=30, fraction=0.05)
        bar.set_label("percent of the true class")
        for row, column in zip(*counts.nonzero(), strict=True) if few else ():
            colour = "white" if image.norm(shares[row, column]) < 0.6 else "black"
            cell = f"{counts[row, column]:.0f}"
            axes.text(column, row, cell, ha="center", va="center", fontsize=8, color=colour)

    wrong = int(confusion.sum() - confusion.trace())
    text = (
        f"Confusion matrix of {group.name}, {len(names)} classes: {wrong} of "
        f"{int(confusion.sum())} predictions are beside the diagonal. The table below names the "
        "most frequent."
    )
    return report.pictures.chart(plot, (side + 1.9, side + 1.0), text)


MATRICES = Section("matrices", "S beside the confusions", _content)
