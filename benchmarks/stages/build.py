"""Stage: the native library, built for the GPU that is present."""

import json
import os
import re
import shutil
import sys

import torch

from benchmarks.hardware import ROOT
from benchmarks.processes import Finished, find_tool
from benchmarks.stages.stage import Context, Outcome, Stage

BUILD_FOLDER = ROOT / "build" / "gpu-suite"

_ASK = "import json; from ffdwv_fast.build import build_info; print(json.dumps(build_info()))"


def run(context: Context) -> Outcome:
    """Build (on a GPU) and ask the library what it is."""
    values: dict[str, object] = {}
    if context.device == "cuda":
        failure = _build(context, values)
        if failure is not None:
            return failure
    asked = context.python("-c", _ASK)
    if asked.status != 0:
        return Outcome(False, f"import: {asked.ending}", values, error=asked.tail)
    info = json.loads(asked.output.splitlines()[-1])
    values["build_info"] = info
    values["bytes"] = {path.name: path.stat().st_size for path in _libraries()}
    problem = _problem(info, context.device)
    if problem is not None:
        return Outcome(False, problem, values)
    megabytes = sum(values["bytes"].values()) / 1e6
    took = f", built in {values['build_seconds']:.0f} s" if "build_seconds" in values else ""
    architectures = info["cuda_architectures"] or "none"
    return Outcome(True, f"{megabytes:.1f} MB, CUDA architectures: {architectures}{took}", values)


def _build(context: Context, values: dict[str, object]) -> Outcome | None:
    """CMake alone, as setup.py would call it: it needs neither pip nor a network."""
    missing = _missing_tools()
    if missing:
        return Outcome(False, f"not installed: {', '.join(missing)}", values)
    # From nothing, so that the time is that of a whole build.
    shutil.rmtree(BUILD_FOLDER, ignore_errors=True)
    for name, command in (("configure", _configure()), ("build", _compile())):
        done: Finished = context.execute(*command)
        values[f"{name}_seconds"] = round(done.seconds, 1)
        if done.status != 0:
            return Outcome(False, f"cmake, {name}: {done.ending}", values, error=done.tail)
    return None


def _missing_tools() -> list[str]:
    missing = [name for name in ("cmake", "nvcc", "c++") if find_tool(name) is None]
    if find_tool("ninja") is None and find_tool("make") is None:
        missing.append("ninja or make")
    return missing


def _configure() -> list[str]:
    version = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    ninja = find_tool("ninja")
    major, minor = torch.cuda.get_device_capability()
    generator = ["-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={ninja}"] if ninja else []
    return [
        *(find_tool("cmake"), "-S", str(ROOT), "-B", str(BUILD_FOLDER), *generator),
        f"-DPython_EXECUTABLE={sys.executable}",
        f"-DFFDWV_VERSION={version[1]}",
        "-DFFDWV_CUDA=ON",
        f"-DFFDWV_CUDA_ARCHITECTURES={major}{minor}",
        f"-DCMAKE_CUDA_COMPILER={find_tool('nvcc')}",
    ]


def _compile() -> list[str]:
    jobs = len(os.sched_getaffinity(0))
    return [find_tool("cmake"), "--build", str(BUILD_FOLDER), "--parallel", str(jobs)]


def _libraries() -> list:
    return sorted((ROOT / "ffdwv_fast").glob("*.so"))


def _problem(info: dict[str, object], device: str) -> str | None:
    if not info["native"]:
        return str(info["reason"])
    if "cuda_architectures" not in info:
        return "the library is older than this tree; build it anew"
    if device == "cuda" and not info["cuda_architectures"]:
        return "the library that Python loads has no CUDA kernels"
    return None


STAGE = Stage("build", lambda c: 60 if c.device == "cuda" else 5, run, stops_suite=True)
