"""What the training command says at its end."""

from collections.abc import Callable
from pathlib import Path


def conclusion(summary: dict[str, object], out: Path) -> str:
    """Of a run: its summary, as summary.json holds it, in two lines."""
    shares = [f"{name} {share:.0f} %" for name, share in summary["time_shares"].items()]
    return (
        f"{_errors_of(summary, '{:.2f} %'.format)} after {summary['epochs']} epochs, "
        f"{summary['seconds']:.0f} s ({', '.join(shares)}), "
        f"{summary['images_per_second']:,.0f} images/s; see {out / 'curves.png'}"
        f"\n{_final_metrics_of(summary)}"
    )


def _final_metrics_of(summary: dict[str, object]) -> str:
    """The metrics beside the error and the costs, of a run or as means over seeds."""
    images = "validation" if "validation_error" in summary else "test"
    texts = {
        "nll": "NLL {:.3f}",
        "ece": "ECE {:.2f} %",
        "top5_error": "top-5 error {:.2f} %",
        "errors_in_superclass": "{:.1f} % of the errors inside the superclass",
        "confusion_correlation": "rank correlation of confusions and S {:.2f}",
    }
    parts = []
    for name, text in texts.items():
        value = summary.get(f"{images}_{name}")
        if value is not None:
            parts.append(text.format(value["mean"] if isinstance(value, dict) else value))
    costs = (summary[name] / 1e8 for name in ("train_flops", "test_flops"))
    parts.append("TrCost {:.3g}, TeCost {:.3g} (1e8 FLOPs an image)".format(*costs))
    return ", ".join(parts)


def conclusion_over_seeds(summary: dict[str, object], out: Path) -> str:
    """Of runs of several seeds: their summary in two lines."""

    def text(error: dict[str, float | int | None]) -> str:
        spread = "" if error["sd"] is None else f" +- {error['sd']:.2f}"
        return f"{error['mean']:.2f}{spread} %"

    return (
        f"{_errors_of(summary, text)} (mean and standard deviation of {len(summary['seeds'])} "
        f"seeds) after {summary['epochs']} epochs, {summary['seconds']:.0f} s; see {out}"
        f"\n{_final_metrics_of(summary)}"
    )


def _errors_of(summary: dict[str, object], text: Callable[..., str]) -> str:
    peer = f" (its peer's {text(summary['peer_error'])})" if "peer_error" in summary else ""
    if "validation_error" in summary:
        return f"validation error {text(summary['validation_error'])}{peer}"
    return f"test error {text(summary['test_error'])}{peer}"
