"""Stage: tests/cuda, on the device."""

import tempfile
from pathlib import Path
from xml.etree import ElementTree

from benchmarks.hardware import ROOT
from benchmarks.stages.stage import Context, Outcome, Stage

FOLDER = "tests/cuda"


def run(context: Context) -> Outcome:
    """Run pytest and read its report."""
    if not (ROOT / FOLDER).is_dir():
        return Outcome(False, f"{FOLDER} is not in this checkout")
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        done = context.python(
            *("-m", "pytest", FOLDER, "--device", context.device, "-q", f"--junitxml={report}")
        )
        values = counts(report.read_text()) if report.exists() else {}
    passed = done.status == 0 and values.get("passed", 0) > 0
    summary = ", ".join(f"{values[name]} {name}" for name in ("passed", "failed", "skipped"))
    return Outcome(
        passed,
        summary if done.status in (0, 1) and values else f"pytest: {done.ending}",
        values,
        error="" if passed else done.tail,
    )


def counts(report: str) -> dict[str, object]:
    """Numbers of tests and the names of the failed ones, from a JUnit report."""
    cases = list(ElementTree.fromstring(report).iter("testcase"))
    failed = [case for case in cases if _has(case, "failure") or _has(case, "error")]
    skipped = [case for case in cases if case not in failed and _has(case, "skipped")]
    return {
        "passed": len(cases) - len(failed) - len(skipped),
        "failed": len(failed),
        "skipped": len(skipped),
        "failures": [f"{case.get('classname')}::{case.get('name')}" for case in failed],
    }


def _has(case: ElementTree.Element, what: str) -> bool:
    return case.find(what) is not None


STAGE = Stage("tests", lambda c: 180 if c.device == "cuda" else 30, run)
