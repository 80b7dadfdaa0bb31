"""A finished run of a tiny network on real images, for all that is made from one."""

import contextlib
import io
from pathlib import Path

import pytest

from ffdwv_fast import train

OPTIONS = ("--dataset", "digits", "--model", "resnet8", "--device", "cpu", "--loader", "torch")


def finished_run(out: Path, *options: str) -> Path:
    with contextlib.redirect_stdout(io.StringIO()):
        train.main([*OPTIONS, "--out", str(out), *options])
    return out


@pytest.fixture(scope="session")
def run(tmp_path_factory) -> Path:
    """Its folder; S is not the default one."""
    similarity = ("--metric", "cosine", "--temperature", "auto:0.5")
    out = tmp_path_factory.mktemp("trained") / "run"
    return finished_run(out, "--epochs", "1", "--train-limit", "200", *similarity)
