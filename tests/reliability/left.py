"""What two runs leave, to compare: all but the times."""

import json
from pathlib import Path

TIMES = ("images_per_second", "seconds", "time_shares")


def left_by(out: Path) -> dict[str, object]:
    """The bytes of a finished run's weights, its metrics and its summary, but for times."""
    lines = (out / "metrics.jsonl").read_text().splitlines()
    return {
        "weights": {path.name: path.read_bytes() for path in out.glob("*.safetensors")},
        "metrics": [_without_times(json.loads(line)) for line in lines],
        "summary": _without_times(json.loads((out / "summary.json").read_text())),
    }


def _without_times(values: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in values.items() if name not in TIMES}
