"""python -m benchmarks.gpu_suite, run where there is no GPU: every stage's code, tiny."""

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch

from benchmarks import gpu_suite
from benchmarks.hardware import ROOT
from benchmarks.processes import Finished, execute
from benchmarks.sanitizer_workload import calls
from benchmarks.stages import STAGES, cuda_tests
from benchmarks.stages.sanitizer import findings, tool_result
from benchmarks.stages.stage import Context, Outcome, Stage
from benchmarks.timing import ratios, spread
from ffdwv_fast.build import build_info
from ffdwv_fast.command import run_command
from ffdwv_fast.loss.arguments import LOGITS_DTYPES

SUITE = (sys.executable, "-m", "benchmarks.gpu_suite", "--device", "cpu", "--tiny")


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    """What a run of the stages leaves, by stage, and what it printed."""
    output = tmp_path_factory.mktemp("suite")
    command = [*SUITE, "--stages", "loss,build,sanitizer", "--output", str(output)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    results = {path.stem: json.loads(path.read_text()) for path in output.glob("*")}
    assert set(results) == {"build", "sanitizer", "loss"}
    return results, done.stdout


def run_suite(output, *options):
    """The command in this process; its exit status."""
    arguments = ["--device", "cpu", "--tiny", "--output", str(output), *options]
    try:
        run_command(lambda _: gpu_suite.main(arguments))
    except SystemExit as stopped:
        return stopped.code
    return 0


def stage(name, run, seconds=0, **options):
    return Stage(name, lambda _: seconds, run, **options)


def test_header_says_what_was_measured(suite):
    results, _ = suite
    commit = "unknown"
    if shutil.which("git") is not None:
        command = ["git", "rev-parse", "--verify", "--quiet", "HEAD"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        commit = done.stdout.strip() or commit
    for result in results.values():
        header = result["header"]
        assert header["python"] == platform.python_version()
        assert header["torch"] == torch.__version__
        assert header["cores"] == len(os.sched_getaffinity(0))
        assert header["commit"] == commit
        assert header["command"].startswith("python -m benchmarks.gpu_suite --device cpu --tiny")
        assert platform.node() not in header.values()


def test_build_stage_reports_the_library_that_runs(suite):
    build = suite[0]["build"]
    assert build["status"] == "passed"
    info = build["result"]["build_info"]
    assert info == build_info()
    sizes = {path.name: path.stat().st_size for path in (ROOT / "ffdwv_fast").glob("*.so")}
    assert build["result"]["bytes"] == sizes


def test_sanitizer_stage_runs_every_call_of_the_workload(suite):
    made = suite[0]["sanitizer"]["result"]["workload"]
    wanted = [call.kind for dtype in LOGITS_DTYPES for call in calls(dtype, tiny=True)]
    assert made["calls"] == len(wanted)
    assert made["kinds"] == {kind: wanted.count(kind) for kind in set(wanted)}


def test_loss_stage_keeps_samples_that_give_its_figures(suite):
    rows = suite[0]["loss"]["result"]["rows"]
    by_name = {(row["loss"], row["contender"]): row for row in rows}
    assert {name for loss, name in by_name if loss == "class rows"} >= {"eager", "ffdwv_loss"}
    for (loss, name), row in by_name.items():
        samples = row["call"]["samples_us"]
        assert min(samples) > 0
        assert row["call"]["us"]["median"] == pytest.approx(spread(samples).median, rel=1e-2)
        assert row["gb_per_s"] == pytest.approx(row["bytes"] / row["call"]["us"]["median"] / 1e3)
        if name != "copy":
            eager = by_name[loss, "eager"]["call"]["samples_us"]
            faster = spread(ratios(eager, samples)).median
            assert row["call"]["times_eager"]["median"] == pytest.approx(faster, rel=1e-2)
            assert 0 < row["error"] < 1e-4


def test_table_and_progress_are_printed(suite):
    results, printed = suite
    for name, result in results.items():
        assert f"{name}: started" in printed
        *_, line = (text for text in printed.splitlines() if text.startswith(f"{name} "))
        assert result["status"] in line
        assert result["summary"] in line
    assert all(line in printed for line in results["loss"]["report"])


def test_stage_that_does_not_fit_in_the_time_left_is_skipped(tmp_path, monkeypatch, capsys):
    ran = []
    stages = {
        "short": stage("short", lambda c: ran.append("short") or Outcome(True, "done"), 1),
        "long": stage("long", lambda c: ran.append("long") or Outcome(True, "done"), 600),
    }
    monkeypatch.setattr(gpu_suite, "STAGES", stages)
    assert run_suite(tmp_path, "--time-budget", "60") == 0
    assert ran == ["short"]
    assert [path.name for path in tmp_path.iterdir()] == ["short.json"]
    assert "long: skipped, it needs at least 600 s, 60 s are left" in capsys.readouterr().out


def test_program_of_a_stage_is_stopped_when_the_time_is_over(tmp_path):
    said = []
    context = Context("cpu", True, said.append, deadline=time.monotonic() + 1)
    late = tmp_path / "late"
    done = context.python(
        "-c", f"print('begun', flush=True); import time; time.sleep(4); open({str(late)!r}, 'w')"
    )
    assert done.status is None
    assert done.output == "begun\n"
    assert "no time left" in done.ending
    time.sleep(4)
    assert not late.exists()


def test_failures_are_recorded_and_the_suite_goes_on(tmp_path, monkeypatch, capsys):
    def breaks(_context):
        raise ZeroDivisionError("of this test")

    def fails(context):
        done = context.python("-c", "import sys; print('last words'); sys.exit(7)")
        return Outcome(False, done.ending, error=done.tail)

    stages = {
        "breaks": stage("breaks", breaks),
        "fails": stage("fails", fails),
        "works": stage("works", lambda c: Outcome(True, "fine", {"six": 6})),
    }
    monkeypatch.setattr(gpu_suite, "STAGES", stages)
    assert run_suite(tmp_path) == 1
    results = {path.stem: json.loads(path.read_text()) for path in tmp_path.iterdir()}
    assert results["breaks"]["summary"] == "ZeroDivisionError: of this test"
    assert results["breaks"]["error"][-1] == "ZeroDivisionError: of this test"
    assert results["fails"]["summary"] == "exit status 7"
    assert results["fails"]["error"] == ["last words"]
    assert [results[name]["status"] for name in stages] == ["failed", "failed", "passed"]
    assert results["works"]["result"] == {"six": 6}
    assert "last words" in capsys.readouterr().out


def test_failed_build_leaves_the_rest_undone(tmp_path, monkeypatch, capsys):
    stages = {
        "build": stage("build", lambda c: Outcome(False, "no compiler"), stops_suite=True),
        "after": stage("after", lambda c: Outcome(True, "done")),
    }
    monkeypatch.setattr(gpu_suite, "STAGES", stages)
    assert run_suite(tmp_path) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["build.json"]
    assert "after: skipped, build failed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--stages", "build,bild"), f"no stage 'bild'; there are {', '.join(STAGES)}"),
        (("--time-budget", "0"), "'0' is not a number above 0"),
    ],
)
def test_bad_option_is_one_line(tmp_path, capsys, options, says):
    assert run_suite(tmp_path, *options) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert says in line


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_the_error_is_one_line(tmp_path, capsys):
    assert run_suite(tmp_path, "--device", "cuda") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "finds no GPU here; use --device cpu" in line


def test_interrupted_suite_leaves_the_finished_stages_results(tmp_path):
    command = [*SUITE, "--stages", "build,sanitizer", "--output", str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if "sanitizer: started" in line:
                process.send_signal(signal.SIGTERM)
                break
        rest = process.stdout.read()
    assert process.returncode == 130
    assert [path.name for path in tmp_path.iterdir()] == ["build.json"]
    assert json.loads((tmp_path / "build.json").read_text())["status"] == "passed"
    assert "interrupted" in rest


def test_progress_shows_the_last_line_of_a_running_program(monkeypatch):
    monkeypatch.setattr("benchmarks.processes.SECONDS_BETWEEN_SIGNS", 0.3)
    said = []
    program = "import time; print('half way', flush=True); time.sleep(1)"
    done = execute([sys.executable, "-c", program], timeout=None, say=said.append)
    assert done.status == 0
    assert "half way" in said


CLEAN = "========= COMPUTE-SANITIZER\n{}\n========= ERROR SUMMARY: 0 errors\n"
OF_OURS = """========= COMPUTE-SANITIZER
========= Invalid __global__ write of size 4 bytes
=========     at void ffdwv::cuda::loss_read_twice<float, float>(ffdwv::cuda::Call)+0x120
=========     by thread (0,0,0) in block (0,0,0)
=========
========= Uninitialized __global__ memory read of size 4 bytes
=========     at void at::native::vectorized_elementwise_kernel<4>(int)+0x50
=========
========= ERROR SUMMARY: 2 errors
"""
OF_OTHERS = """========= COMPUTE-SANITIZER
========= Error: Race reported between Write access at void at::native::reduce_kernel<1>()+0x80
=========     and Read access at void at::native::reduce_kernel<1>()+0x90 [8 hazards]
=========
========= RACECHECK SUMMARY: 1 hazard displayed (1 error, 0 warnings)
"""


@pytest.mark.parametrize(
    ("output", "status", "ours", "others", "passed"),
    [
        (CLEAN.format("{}"), 0, 0, 0, True),
        (CLEAN.format("Traceback"), 1, 0, 0, False),
        (OF_OURS, 0, 1, 1, False),
        (OF_OTHERS, 0, 0, 1, True),
        ("========= Error: the device is not supported\n", 0, 0, None, False),
    ],
)
def test_sanitizer_reports_are_told_apart(output, status, ours, others, passed):
    result = tool_result(Finished(status, output, 1.0))
    assert result["reports"] == ours
    assert result["reports_of_other_kernels"] == others
    assert result["passed"] is passed
    if ours:
        assert "Invalid __global__ write" in findings(output).first
        assert "Uninitialized" not in findings(output).first


def test_outcomes_of_the_cuda_tests_are_read_from_the_report(tmp_path):
    (tmp_path / "test_some.py").write_text(
        "import pytest\n"
        "def test_good(): pass\n"
        "def test_bad(): assert False\n"
        "def test_later(): pytest.skip('why')\n"
        "@pytest.fixture\n"
        "def broken(): raise ValueError\n"
        "def test_broken(broken): pass\n"
    )
    report = tmp_path / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", str(tmp_path)]
    subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    counts = cuda_tests.counts(report.read_text())
    failures = counts.pop("failures")
    assert counts == {"passed": 1, "failed": 2, "skipped": 1}
    assert [name.split("::")[1] for name in failures] == ["test_bad", "test_broken"]
