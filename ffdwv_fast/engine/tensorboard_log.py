"""Metrics for TensorBoard (https://www.tensorflow.org/tensorboard).

Its own writer has a thread, which prints a traceback where the disk is full. Here an epoch is one
write, whose failure the caller sees.
"""

import importlib.util
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from ffdwv_fast.engine.trainer import EpochRecord
from ffdwv_fast.errors import InputError

# How TensorBoard groups the numbers of an epoch: GROUP/NAME, NAME as in metrics.jsonl.
GROUPS = {
    "loss": ("train_loss", "train_ce", "train_kl"),
    "error": ("train_error", "test_error", "validation_error", "peer_error"),
    "training": ("lr", "images_per_second", "skipped_steps"),
}
FINAL = "final"  # the group of the summary's numbers
PREFIX = "events.out.tfevents."


def refuse_without_tensorboard() -> None:
    """Raise InputError if it is not installed."""
    if importlib.util.find_spec("tensorboard") is None:
        raise InputError(
            "--tensorboard: tensorboard is not installed: pip install 'ffdwv_fast[tensorboard]'"
        )


class TensorBoardLog:
    """Event files in a folder, one from each process that has gone on with the run.

    A file says from which step on it replaces the ones before. TensorBoard reads them in the order
    of their names.

    Args:
        folder: made when there is something to write.
    """

    def __init__(self, folder: Path):
        self.name = folder.name
        self._folder = folder
        self._file: Path | None = None
        self._epochs = 0
        self._failed = False

    def save(self, records: Sequence[EpochRecord]) -> None:
        if self._file is None:
            self._begin_file(len(records))
        new = records[self._epochs :]
        self._write([_scalars(record.epoch, _grouped(record)) for record in new])
        self._epochs = len(records)

    def finish(self, summary: Mapping[str, object]) -> None:
        numbers = {
            f"{FINAL}/{name}": value
            for name, value in summary.items()
            if isinstance(value, (int, float))
        }
        self._write([_scalars(self._epochs, numbers)])

    def _begin_file(self, epochs: int) -> None:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog

        self._folder.mkdir(exist_ok=True)
        before = len(list(self._folder.glob(f"{PREFIX}*")))
        # The last epoch is written again, since the final numbers, which nobody knows to be there
        # or not, are of the same step.
        self._epochs = max(0, epochs - 1) if before and not self._failed else 0
        self._file = self._folder / f"{PREFIX}{before + 1:06}"
        start = SessionLog(status=SessionLog.START)
        self._write(
            [
                Event(wall_time=time.time(), file_version="brain.Event:2"),
                Event(wall_time=time.time(), step=self._epochs + 1, session_log=start),
            ]
        )

    def _write(self, events: Sequence[object]) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        try:
            with self._file.open("ab") as stream:
                writer = RecordWriter(stream)
                for event in events:
                    writer.write(event.SerializeToString())
        except OSError:
            # It may end in half a record, behind which nothing is read.
            self._file, self._failed = None, True
            raise


def _grouped(record: EpochRecord) -> dict[str, float]:
    """What there is of an epoch's numbers, by tag."""
    return {
        f"{group}/{name}": getattr(record, name)
        for group, names in GROUPS.items()
        for name in names
        if getattr(record, name) is not None
    }


def _scalars(step: int, values: Mapping[str, float]) -> object:
    """An event with numbers by tag."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

    summary = Summary(value=[Summary.Value(tag=t, simple_value=v) for t, v in values.items()])
    return Event(wall_time=time.time(), step=step, summary=summary)
