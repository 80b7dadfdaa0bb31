"""The picture of a run."""

from collections.abc import Sequence
from pathlib import Path

from ffdwv_fast.engine.trainer import EpochRecord


def draw_curves(records: Sequence[EpochRecord], title: str, path: Path) -> None:
    """Errors and losses over the epochs, as a PNG.

    Args:
        records: at least one epoch.
        title: one line above both panels.
        path: the file to write; its folder exists.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    epochs = [r.epoch for r in records]
    figure = Figure(figsize=(10, 4), layout="constrained")
    figure.suptitle(title)
    error, loss = figure.subplots(1, 2)
    marker = "o" if len(records) < 30 else ""

    for name in ("train", "test", "validation", "peer"):
        values = [getattr(r, f"{name}_error") for r in records]
        points = [(epoch, v) for epoch, v in zip(epochs, values, strict=True) if v is not None]
        if points:
            label = f"{name} (last: {points[-1][1]:.2f} %)"
            error.plot(*zip(*points, strict=True), marker=marker, ms=3, label=label)
    error.set(xlabel="epoch", ylabel="top-1 error, %", ylim=(0, None))

    parts = {"loss": "train_loss", "cross-entropy": "train_ce", "soft term": "train_kl"}
    for label, name in parts.items():
        values = [getattr(r, name) for r in records]
        if None not in values:
            loss.plot(epochs, values, marker=marker, ms=3, label=label)
    loss.set(xlabel="epoch", ylabel="training loss", ylim=(0, None))

    for axes in (error, loss):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=120)
