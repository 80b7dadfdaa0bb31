"""A stage that is a benchmark's command in a process of its own."""

import json
import tempfile
from pathlib import Path

from benchmarks.stages.stage import Context, Outcome


def measured(context: Context, module: str, *options: str) -> Outcome:
    """Run a command that writes `--json` as it goes; what it measured before its end is kept.

    Args:
        context: of the stage.
        module: of the command, such as benchmarks.step.
        options: beside --device, --json and, where the suite is tiny, --tiny.
    """
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        command = ["-m", module, "--device", context.device, "--json", str(result)]
        done = context.python(*command, *(["--tiny"] if context.tiny else options))
        values = json.loads(result.read_text()) if result.exists() else {"rows": []}
    values.pop("header", None)
    report = tuple(values.pop("table", ()))
    if done.status != 0:
        summary = f"{done.ending}; {len(values['rows'])} rows were measured"
        return Outcome(False, summary, values, report, error=done.tail)
    return Outcome(True, f"{len(values['rows'])} rows", values, report)
