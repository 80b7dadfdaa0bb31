"""A short campaign over every reader, and that a fault would be found."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.judge import judge
from tests.fuzz.planted import error
from tests.fuzz.registry import TARGETS

pytest.importorskip("atheris", reason="there is no atheris for this Python or machine")

ROOT = Path(__file__).resolve().parents[2]


def fuzz(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "tests.fuzz", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_nothing_is_found_in_a_short_campaign(tmp_path):
    inputs = str(1000 * len(TARGETS))
    done = fuzz("--inputs", inputs, "--seconds", "10", "--findings", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f", 0 of {len(TARGETS)} targets with a finding" in done.stdout


@pytest.fixture(scope="module")
def planted(tmp_path_factory) -> tuple[str, Path]:
    """What a campaign over faults made on purpose prints, and its folder."""
    folder = tmp_path_factory.mktemp("findings")
    targets = "planted-error,planted-hang,planted-growth"
    done = fuzz(
        *("--target", targets, "--inputs", "120000", "--hang-seconds", "1", "--seed", "2"),
        *("--findings", str(folder)),
    )
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout, folder


@pytest.mark.parametrize("fault", ["planted-error", "planted-hang", "planted-growth"])
def test_a_fault_made_on_purpose_is_found(planted, fault):
    (line,) = [line for line in planted[0].splitlines() if f"{fault}:" in line and "FOUND" in line]
    assert str(planted[1] / f"{fault}.log") in line


def test_the_input_at_fault_is_saved(planted, tmp_path):
    (saved,) = planted[1].glob("planted-error-*")
    assert saved.read_bytes().startswith(b"FUZ")
    with pytest.raises(IndexError, match="planted"):
        judge(error(tmp_path), saved.read_bytes())
