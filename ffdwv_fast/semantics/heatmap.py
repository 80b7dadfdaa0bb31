"""The soft-target matrix as a picture (Figure 2 of the paper)."""

from collections.abc import Sequence
from typing import BinaryIO

from torch import Tensor

MOST_CLASSES_WITH_VALUES = 20
_SMALLEST_COLOURED = 1e-4


def draw_heatmap(
    stream: BinaryIO, image_format: str, matrix: Tensor, names: Sequence[str], title: str
) -> None:
    """Draw S with a row and a column per class.

    The colours are logarithmic: on a linear scale everything beside the diagonal looks the same.

    Args:
        stream: Receives the picture.
        image_format: ``"png"``, ``"pdf"`` or ``"svg"``.
        matrix: S, ``[C, C]``, rows sum to 1.
        names: The C class names.
        title: Headline of the picture.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure

    count = len(names)
    font = 9 if count <= MOST_CLASSES_WITH_VALUES else max(2.5, min(8.0, 520 / count))
    side = max(4.2, min(16.0, 0.62 * count if count <= MOST_CLASSES_WITH_VALUES else 0.145 * count))
    figure = Figure(figsize=(side + 1.9, side + 1.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    values = matrix.double().numpy()
    smallest = max(_SMALLEST_COLOURED, min(float(values.min()), 0.5))
    image = axes.imshow(
        values.clip(min=smallest), cmap="viridis", norm=LogNorm(vmin=smallest, vmax=1.0)
    )
    # A name may hold a dollar sign, which would otherwise start a formula.
    axes.set_xticks(range(count), names, rotation=90, fontsize=font, parse_math=False)
    axes.set_yticks(range(count), names, fontsize=font, parse_math=False)
    axes.set_xlabel("class j")
    axes.set_ylabel("class i (row: the soft target of i)")
    axes.set_title(title, parse_math=False)
    beyond = "min" if values.min() < smallest else "neither"
    bar = figure.colorbar(image, ax=axes, shrink=0.85, aspect=30, fraction=0.05, extend=beyond)
    bar.set_label("$S_{ij}$ (logarithmic colours)")
    if count <= MOST_CLASSES_WITH_VALUES:
        _write_values(axes, values, image)
    figure.savefig(stream, format=image_format, dpi=150)


def _write_values(axes, values, image) -> None:
    for (row, column), value in _cells(values):
        dark = image.norm(value) < 0.6
        colour = "white" if dark else "black"
        axes.text(column, row, _digits(value), ha="center", va="center", fontsize=8, color=colour)


def _digits(value: float) -> str:
    """``.931``, ``.0004``: three places, four where three would show nothing but zeros."""
    if value >= 0.9995:
        return "1"
    return f"{value:.{3 if value >= 0.001 else 4}f}".removeprefix("0")


def _cells(values):
    return (((i, j), float(v)) for i, row in enumerate(values) for j, v in enumerate(row))
