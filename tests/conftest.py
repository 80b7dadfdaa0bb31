"""Fixtures that several rooms of the tests use."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

from ffdwv_fast.command import run_command

SHARED = Path(__file__).resolve().parents[1].parent / "shared"

# The same examples every time: a test that passed passes again.
settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")


def pytest_addoption(parser):
    # Here and not in tests/cuda, whose conftest is not always read early enough for options.
    parser.addoption(
        "--device",
        choices=["cuda", "cpu"],
        default="cuda",
        help="where tests/cuda runs; cpu: its own tests, as far as they go without a GPU",
    )


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "cpu_only(reason): the test's claim is about no other device"
    )
    config.addinivalue_line("markers", "gpu_only(reason): the test's claim is not about a CPU")


@pytest.fixture(scope="session")
def cifar_dir():
    """A folder with the complete CIFAR-10 and CIFAR-100 in the official binary layouts."""
    tool = SHARED / "tools" / "unpack_cifar.py"
    if not tool.exists():
        pytest.skip("the complete CIFAR sets are not at ../shared")
    with tempfile.TemporaryDirectory(prefix="cifar-") as folder:
        unpacked = subprocess.run(
            [sys.executable, tool, folder], capture_output=True, text=True, check=False
        )
        assert unpacked.returncode == 0, unpacked.stderr
        yield Path(folder)


@pytest.fixture
def refused(capsys):
    """A function that gives the one line on stderr of a command that must exit with status 2."""

    def line_of(main, *argv: object) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            run_command(lambda _: main([str(word) for word in argv]))
        assert stopped.value.code == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert line.startswith("error: ")
        return line

    return line_of
