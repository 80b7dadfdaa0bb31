"""Two processes, launched once."""

from pathlib import Path
from typing import NamedTuple

import pytest

from tests.distributed.launch import finish, start


class Launched(NamedTuple):
    """What they have left in a folder and printed."""

    folder: Path
    out: str
    err: str


@pytest.fixture(scope="session")
def two_processes(tmp_path_factory) -> Launched:
    folder = tmp_path_factory.mktemp("two-processes")
    status, out, err = finish(start(2, "-m", "tests.distributed.two_processes", str(folder)))
    assert status == 0, err
    return Launched(folder, out, err)
