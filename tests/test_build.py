"""What CMake says of the CUDA kernels, with and without an nvcc."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CMAKE = shutil.which("cmake", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
NVCC = shutil.which("nvcc")


def configure(folder: Path, *options: str, nvcc: str | None = None) -> subprocess.CompletedProcess:
    """Configure and build nothing, with this script for an nvcc, or with none."""
    path = ""
    tools = folder / "tools"
    tools.mkdir()
    for tool in ("c++", "sh", "make", "as", "ld", "ar", "ranlib"):
        (tools / tool).symlink_to(shutil.which(tool))
    if nvcc is not None:
        (tools / "nvcc").write_text(nvcc)
        (tools / "nvcc").chmod(0o755)
        path = f"{os.pathsep}{os.environ['PATH']}"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("CUDA")}
    return subprocess.run(
        [
            *(CMAKE, "-S", ROOT, "-B", folder / "build", "-G", "Unix Makefiles"),
            *(f"-DPython_EXECUTABLE={sys.executable}", f"-DFFDWV_OUTPUT_DIR={folder}", *options),
        ],
        env=environment | {"PATH": f"{tools}{path}"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_nvcc_the_cpu_is_built_for_and_the_reason_said(tmp_path):
    done = configure(tmp_path)
    assert done.returncode == 0, done.stderr
    assert "no CUDA kernels: nvcc was not found; put it on the PATH or set CUDACXX" in done.stdout
    definitions = (tmp_path / "build/CMakeFiles/ffdwv_fast.dir/flags.make").read_text()
    assert "FFDWV_WITH_CUDA" not in definitions


def test_cuda_that_is_asked_for_and_not_there_is_an_error(tmp_path):
    done = configure(tmp_path, "-DFFDWV_CUDA=ON")
    assert done.returncode != 0
    assert "FFDWV_CUDA is ON, but nvcc was not found" in done.stderr


def test_another_value_is_an_error(tmp_path):
    done = configure(tmp_path, "-DFFDWV_CUDA=maybe")
    assert done.returncode != 0
    assert "FFDWV_CUDA is maybe; use AUTO, ON or OFF" in done.stderr


@pytest.mark.skipif(NVCC is None, reason="needs nvcc")
def test_an_nvcc_that_is_too_old_is_left_alone(tmp_path):
    says = "Cuda compilation tools, release 12.4, V12.4.131"
    old = f'#!/bin/sh\n[ "$1" = --version ] && echo "{says}" && exit\nexec {NVCC} "$@"\n'
    done = configure(tmp_path, nvcc=old)
    assert done.returncode == 0, done.stderr
    assert "no CUDA kernels: nvcc is of CUDA 12.4; 12.8 or later is needed" in done.stdout


@pytest.mark.skipif(NVCC is None, reason="needs nvcc")
def test_with_nvcc_the_kernels_are_built_for_every_architecture(tmp_path):
    done = configure(tmp_path, nvcc=f'#!/bin/sh\nexec {NVCC} "$@"\n')
    assert done.returncode == 0, done.stderr
    flags = (tmp_path / "build/CMakeFiles/ffdwv_fast.dir/flags.make").read_text()
    assert "-DFFDWV_WITH_CUDA" in flags
    assert [f"sm_{arch}" in flags for arch in (80, 86, 89, 90, 100, 120)] == [True] * 6
    assert "compute_120,code=[compute_120,sm_120]" in flags
