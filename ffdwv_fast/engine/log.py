"""Lines for a person: a run does not die of a log that cannot be written."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO


@contextmanager
def log_may_be_full() -> Iterator[None]:
    """Within, a line that cannot be written, say to a file on a full disk, is left out.

    Raises:
        BrokenPipeError: nobody reads any more, which is a reason to end.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError:
        pass


def tell(text: str, file: TextIO) -> None:
    """Print a line at once, if that is possible."""
    with log_may_be_full():
        print(text, file=file, flush=True)
