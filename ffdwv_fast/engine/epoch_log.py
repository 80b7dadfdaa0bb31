"""Where the metrics of each epoch are kept."""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from ffdwv_fast.atomic_file import replaced_file
from ffdwv_fast.engine.trainer import EpochRecord


class EpochLog(Protocol):
    """Metrics of a run's epochs under a name in its folder."""

    name: str

    def save(self, records: Sequence[EpochRecord]) -> None:
        """Bring it to these epochs; OSError where it cannot be written, and the next call may."""

    def finish(self, summary: Mapping[str, object]) -> None:
        """The run has ended with this summary; OSError as above."""


class TextLog:
    """A file with a line for each epoch.

    Args:
        path: where; what is there is replaced at the first `save`.
        line: an epoch as text, the newline included.
        header: comes first.
    """

    def __init__(self, path: Path, line: Callable[[EpochRecord], str], header: str = ""):
        self.name = path.name
        self._path = path
        self._line = line
        self._header = header
        self._epochs = -1 if path.exists() else 0  # -1: it has to be written anew

    def save(self, records: Sequence[EpochRecord]) -> None:
        # Where this fails, the file may end in half a line.
        known, self._epochs = self._epochs, -1
        if known >= 0 and known + 1 == len(records):
            with self._path.open("a") as file:
                file.write(("" if known else self._header) + self._line(records[-1]))
        elif known != len(records):
            with replaced_file(self._path) as file:
                file.write("".join([self._header, *map(self._line, records)]).encode())
        self._epochs = len(records)

    def finish(self, summary: Mapping[str, object]) -> None:
        pass


def json_lines(folder: Path) -> TextLog:
    """metrics.jsonl: an object for each epoch."""
    return TextLog(folder / "metrics.jsonl", lambda record: json.dumps(record._asdict()) + "\n")


def csv_table(folder: Path) -> TextLog:
    """metrics.csv: the same columns; what is None there is empty here."""
    return TextLog(folder / "metrics.csv", _row, header=_row(EpochRecord._fields))


def _row(values: Sequence[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue()
