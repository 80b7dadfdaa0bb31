"""Keeping a folder to one process."""

import fcntl
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

from ffdwv_fast.errors import InputError

LOCK = ".lock"

_held: set[TextIO] = set()


@contextmanager
def locked_folder(folder: Path, option: str, advice: str) -> Iterator[None]:
    """Within, the folder is this process's: see `locked`.

    Args:
        folder: made if it is not there.
        option: begins the message of an error.
        advice: what to do where another process has the folder.

    Raises:
        InputError: another process has it, or it cannot be written to.
    """

    def refuse() -> None:
        raise InputError(f"{option} {folder}: another process is writing to it; {advice}")

    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locked(folder / LOCK, refuse))
        except OSError as error:
            raise InputError(
                f"{option} {folder}: cannot be written ({error.strerror}); name another folder"
            ) from error
        yield


@contextmanager
def locked(file: Path, taken: Callable[[], None]) -> Iterator[None]:
    """Within, nobody else who asks for the same lock has it.

    The lock goes with the process, however that ends. Processes that it has forked, which may
    outlive it, do not have it.

    Args:
        file: stands for the lock; made if it is not there, and left.
        taken: called where another process has the lock: raises, or returns to wait for it.

    Raises:
        OSError: the file cannot be made.
    """
    with file.open("a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            taken()
            fcntl.flock(stream, fcntl.LOCK_EX)
        except OSError as error:  # a file system without locks
            print(
                f"warning: {file.parent} cannot be locked ({error.strerror}): nothing keeps "
                "another process from writing to it too",
                file=sys.stderr,
            )
        _held.add(stream)
        try:
            yield
        finally:
            _held.discard(stream)


def _give_up_in_child() -> None:
    # The lock belongs to the open file, which a forked process has too.
    for stream in _held:
        stream.close()
    _held.clear()


os.register_at_fork(after_in_child=_give_up_in_child)
