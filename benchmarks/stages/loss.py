"""Stage: the benchmark of the losses."""

import json
import tempfile
from pathlib import Path

from benchmarks.stages.stage import Context, Outcome, Stage


def run(context: Context) -> Outcome:
    """Run `python -m benchmarks.loss`; what it measured before running out of time is kept."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "loss.json"
        options = ["--device", context.device, "--json", str(result)]
        options += ["--tiny"] if context.tiny else []
        done = context.python("-m", "benchmarks.loss", *options)
        values = json.loads(result.read_text()) if result.exists() else {"rows": []}
    values.pop("header", None)
    report = tuple(values.pop("table", ()))
    if done.status != 0:
        summary = f"{done.ending}; {len(values['rows'])} rows were measured"
        return Outcome(False, summary, values, report, error=done.tail)
    return Outcome(True, f"{len(values['rows'])} rows", values, report)


STAGE = Stage("loss", lambda c: 15 if c.tiny else 120, run)
