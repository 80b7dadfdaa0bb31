"""Where the time goes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Seconds of the host by subject.

    On a GPU the host runs ahead: time that it spends on launching shows here, time that the device
    needs beyond that shows where the host waits for it.

    Attributes:
        seconds: by subject, in the order in which they first came up.
    """

    def __init__(self):
        self.seconds: dict[str, float] = {}

    @contextmanager
    def on(self, subject: str) -> Iterator[None]:
        """Add the time spent within to a subject."""
        start = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - start
            self.seconds[subject] = self.seconds.get(subject, 0.0) + spent

    def shares(self, total: float) -> dict[str, float]:
        """Percent of a total, by subject, and what is left of it as "other"."""
        other = max(0.0, total - sum(self.seconds.values()))
        return {name: 100 * s / total for name, s in {**self.seconds, "other": other}.items()}
