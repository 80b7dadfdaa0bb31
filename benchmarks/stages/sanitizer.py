"""Stage: compute-sanitizer over the kernels with small shapes."""

import json
import re
import sys
from typing import NamedTuple

from benchmarks.processes import Finished, find_tool
from benchmarks.stages.stage import Context, Outcome, Stage

TOOLS = ("memcheck", "racecheck", "initcheck")

# One cudaMalloc per tensor: the tools then see the bounds of tensors, not of torch's pool.
_UNPOOLED = {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}
_OPTIONS = ("--show-backtrace", "no", "--print-limit", "1000")
_OURS = "ffdwv::"


class Findings(NamedTuple):
    """What a tool reported.

    Attributes:
        ours: reports that name one of this package's kernels.
        total: all reports, those of torch's own kernels included; None where the tool gave no
            summary, and so did not run to its end.
        first: the first report of ours.
    """

    ours: int
    total: int | None
    first: str


def run(context: Context) -> Outcome:
    """Run the workload alone, then under each tool."""
    workload = ["-m", "benchmarks.sanitizer_workload", "--device", context.device]
    workload += ["--tiny"] if context.tiny else []
    alone = context.python(*workload)
    if alone.status != 0:
        return Outcome(False, f"the workload alone: {alone.ending}", error=alone.tail)
    values: dict[str, object] = {"workload": json.loads(alone.output.splitlines()[-1])}
    calls = f"{values['workload']['calls']} calls with values as in float64"
    if context.device == "cpu":
        return Outcome(True, f"{calls}; no tool on a CPU", values)
    sanitizer = find_tool("compute-sanitizer")
    if sanitizer is None:
        return Outcome(False, "compute-sanitizer is not installed; it is in the toolkit", values)
    return _under_every_tool(context, sanitizer, workload, values, calls)


def _under_every_tool(
    context: Context, sanitizer: str, workload: list[str], values: dict[str, object], calls: str
) -> Outcome:
    results, errors = {}, []
    for tool in TOOLS:
        context.say(f"{tool} ...")
        command = (sanitizer, "--tool", tool, *_OPTIONS, sys.executable, *workload)
        done = context.execute(*command, env=_UNPOOLED)
        results[tool] = tool_result(done)
        if not results[tool]["passed"]:
            errors.append(f"{tool}:\n{results[tool].pop('first') or done.tail}")
    values["tools"] = results
    summary = ", ".join(f"{tool} {result['says']}" for tool, result in results.items())
    return Outcome(not errors, f"{summary}; {calls}", values, error="\n".join(errors))


def tool_result(done: Finished) -> dict[str, object]:
    """What one tool said of the workload, for JSON."""
    found = findings(done.output)
    passed = done.status == 0 and found.total is not None and found.ours == 0
    says = "silent" if passed else f"{found.ours} reports" if found.ours else done.ending
    return {
        "passed": passed,
        "says": says,
        "reports": found.ours,
        "reports_of_other_kernels": None if found.total is None else found.total - found.ours,
        "seconds": round(done.seconds, 1),
        "first": found.first,
    }


def findings(output: str) -> Findings:
    """Read what compute-sanitizer printed: reports are set apart by lines of `=========` alone.

    The format is that of the examples in NVIDIA's documentation,
    https://docs.nvidia.com/compute-sanitizer/ComputeSanitizer/index.html
    """
    blocks = re.split(r"^=========\s*$", output, flags=re.MULTILINE)
    ours = [block.strip() for block in blocks if _OURS in block]
    totals = re.findall(r"^========= \w+ SUMMARY: (\d+)", output, re.MULTILINE)
    return Findings(
        ours=len(ours),
        total=max(int(totals[-1]), len(ours)) if totals else None,
        first=ours[0] if ours else "",
    )


STAGE = Stage("sanitizer", lambda c: 120 if c.device == "cuda" else 15, run)
