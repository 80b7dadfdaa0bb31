"""A folder that is one process's, with processes that want it too."""

import errno
import fcntl
import os
import signal
import subprocess
import sys

import pytest

from ffdwv_fast import InputError
from ffdwv_fast.folder_lock import LOCK, locked, locked_folder

HOLDER = """
import sys, time
from pathlib import Path
from ffdwv_fast.folder_lock import locked_folder
with locked_folder(Path(sys.argv[1]), "--out", "wait"):
    print("locked", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """A process that has the folder, until its standard input ends."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "run")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "locked\n"
        yield process
        process.kill()


def asked(folder) -> str:
    """Why a process does not get a folder; empty where it does."""
    try:
        with locked_folder(folder, "--out", "name another"):
            return ""
    except InputError as error:
        return str(error)


def test_a_folder_is_one_processs_until_that_gives_it_back(holder, tmp_path):
    folder = tmp_path / "run"
    expected = f"--out {folder}: another process is writing to it; name another"
    assert asked(folder) == expected
    assert asked(tmp_path / "other") == ""
    holder.stdin.close()
    assert holder.wait() == 0
    assert asked(folder) == ""


def test_a_process_that_is_killed_leaves_no_lock(holder, tmp_path):
    assert "another process" in asked(tmp_path / "run")
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert asked(tmp_path / "run") == ""


def test_a_forked_process_that_outlives_the_first_does_not_keep_the_folder(tmp_path):
    read, write = os.pipe()
    code = (
        "import os\n"
        "from ffdwv_fast.folder_lock import locked_folder\n"
        "from pathlib import Path\n"
        f"with locked_folder(Path({str(tmp_path)!r}), '--out', ''):\n"
        "    if os.fork() == 0:\n"
        f"        os.read({read}, 1)\n"  # until the pipe's other end is closed
        "    os._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, pass_fds=(read,))
    assert asked(tmp_path) == ""
    os.close(read)
    os.close(write)


def test_who_waits_gets_the_lock_in_the_end(holder, tmp_path):
    told = []

    def wait() -> None:
        told.append(holder.poll())
        holder.stdin.close()

    with locked(tmp_path / "run" / LOCK, wait):
        assert holder.wait() == 0
    assert told == [None]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    message = asked(tmp_path / "file" / "run")
    assert message.endswith("cannot be written (Not a directory); name another folder")


def test_a_file_system_without_locks_is_told_of(tmp_path, monkeypatch, capsys):
    def fail(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", fail)
    assert asked(tmp_path) == ""
    assert f"warning: {tmp_path} cannot be locked (No locks available)" in capsys.readouterr().err
