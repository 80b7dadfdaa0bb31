"""Fixtures for processes that are signalled and killed."""

import pytest

from tests.reliability.kill_points import RUN
from tests.reliability.left import left_by
from tests.reliability.zygote import Zygote


@pytest.fixture(scope="session")
def zygote():
    started = Zygote()
    yield started
    started.close()


@pytest.fixture(scope="session")
def whole(zygote, tmp_path_factory):
    """What a run leaves that nobody stops."""
    folder = tmp_path_factory.mktemp("whole")
    assert zygote.run([*RUN, "--out", str(folder / "run")], folder / "log") == 0
    return left_by(folder / "run")
