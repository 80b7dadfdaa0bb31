"""Stopping on a signal: after the step that goes on, with all that is needed to go on later."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(Exception):
    """A run was asked to stop, and did.

    Attributes:
        signal: which signal asked.
    """

    def __init__(self, number: int):
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.signal = number


class StopRequest:
    """Whether a signal has asked to stop.

    Attributes:
        signal: the signal, or None.
    """

    def __init__(self):
        self.signal: int | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Within, SIGINT and SIGTERM only set `signal`; a second SIGINT does what it always does.

        A second SIGTERM does not: Slurm and torchrun each send one. To be entered in the main
        thread.
        """
        before = {number: signal.getsignal(number) for number in SIGNALS}

        def note(number: int, _: object) -> None:
            self.signal = number
            signal.signal(signal.SIGINT, before[signal.SIGINT])

        def restore() -> None:
            for each, handler in before.items():
                signal.signal(each, handler)

        for number in SIGNALS:
            signal.signal(number, note)
        try:
            yield
        finally:
            restore()

    def check(self) -> None:
        """Raise Stopped if one has."""
        if self.signal is not None:
            raise Stopped(self.signal)
