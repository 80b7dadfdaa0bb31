"""What a run leaves behind, in a folder of its own."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from torch import Tensor, nn

from ffdwv_fast.engine.config import TrainConfig
from ffdwv_fast.engine.curves import draw_curves
from ffdwv_fast.engine.epoch_log import EpochLog, csv_table, json_lines
from ffdwv_fast.engine.json_file import read_object, write_json
from ffdwv_fast.engine.log import tell
from ffdwv_fast.engine.pretrained import Pretrained
from ffdwv_fast.engine.tensor_file import read_tensors, write_tensors
from ffdwv_fast.engine.tensorboard_log import TensorBoardLog
from ffdwv_fast.engine.trainer import EpochRecord
from ffdwv_fast.errors import InputError
from ffdwv_fast.models.build import as_file_name
from ffdwv_fast.models.peers import members

CHECKPOINT = "checkpoint.safetensors"
COMMAND = "command.json"  # the command's arguments, for --resume

# What may differ between the parts of a run: it changes no bit of the result.
MAY_CHANGE = (
    *("data_dir", "teacher_dir", "workers", "checkpoint_minutes", "cuda_graph"),
    "tensorboard",
)


class RunFolder:
    """What a run leaves: config.json, metrics, summary.json, model.safetensors and curves.png.

    The second of two networks is peer.safetensors. While the run goes on there is a checkpoint.

    Args:
        path: where; made if it is not there. An unfinished run of the same configuration is gone on
            with.
        config: written at once.

    Raises:
        InputError: the folder holds something else, or cannot be written.
    """

    def __init__(self, path: Path, config: TrainConfig):
        refuse_if_taken(path)
        self.path = path
        self.config = config
        refuse_another_run(path, config)
        try:
            path.mkdir(parents=True, exist_ok=True)
            for left in path.glob(".*.part"):  # by a process that was killed while it wrote
                left.unlink(missing_ok=True)
            write_json(path / "config.json", asdict(config))
        except OSError as error:
            raise InputError(
                f"--out {path}: cannot be written ({error.strerror}); name another folder"
            ) from error
        self._logs: list[EpochLog] = [json_lines(path), csv_table(path)]
        if config.tensorboard:
            self._logs.append(TensorBoardLog(path / "tensorboard"))

    def checkpoint(self) -> tuple[dict[str, Tensor], dict[str, object]] | None:
        """What `save_checkpoint` was given last; None where there is none.

        Raises:
            InputError: it cannot be read, or is damaged.
        """
        path = self.path / CHECKPOINT
        if not path.exists():
            return None
        advice = "remove it, and the run begins anew"
        tensors, state = read_tensors(path, "--out", advice)
        if not state:  # without a checksum nothing is known of the tensors
            raise InputError(f"--out {path}: is damaged (its state is missing); {advice}")
        return tensors, state

    def save_checkpoint(self, tensors: Mapping[str, Tensor], state: Mapping[str, object]) -> bool:
        """Write it beside the one before and rename it; whether that worked.

        Where it did not, for want of room for one, the one before stays and the run can go on.
        """
        try:
            write_tensors(self.path / CHECKPOINT, tensors, state)
        except OSError as error:
            _warn(f"no checkpoint was written ({error.strerror}); an earlier one, if any, is kept")
            return False
        return True

    def save_epochs(self, records: Sequence[EpochRecord]) -> None:
        """Bring the metrics to these epochs; where they cannot be written, the next call may."""
        for log in self._logs:
            self._save_or_warn(log, records)

    def _save_or_warn(self, log: EpochLog, records: Sequence[EpochRecord]) -> None:
        try:
            log.save(records)
        except OSError as error:
            _warn(f"{log.name} cannot be written ({error.strerror}); the run goes on")

    def save_pretrained(self, pretrained: Pretrained) -> None:
        """Write what the network has of a file to pretrained.json.

        Raises:
            InputError: it cannot be written.
        """
        try:
            write_json(self.path / "pretrained.json", pretrained._asdict())
        except OSError as error:
            raise InputError(
                f"--out {self.path}: cannot be written ({error.strerror}); name another folder"
            ) from error

    def finish(
        self, records: Sequence[EpochRecord], model: nn.Module, summary: dict[str, object]
    ) -> None:
        """Write the weights, the picture and, last, the summary that marks the run as complete.

        Raises:
            InputError: that cannot be written; the checkpoint is kept.
        """
        c = self.config
        title = f"{c.method}, {c.model} on {c.dataset}, seed {c.seed}"
        try:
            for name, network in zip(("model", "peer"), members(model), strict=False):
                write_tensors(self.path / f"{name}.safetensors", network.state_dict())
            draw_curves(records, title, self.path / "curves.png")
            for log in self._logs:
                log.save(records)
                log.finish(summary)
            write_json(self.path / "summary.json", summary)
            (self.path / CHECKPOINT).unlink(missing_ok=True)
        except OSError as error:
            raise InputError(
                f"--out {self.path}: the results cannot be written ({error.strerror}); make room "
                f"and finish with --resume {self.path}"
            ) from error


class ReadOnlyRunFolder(RunFolder):
    """The same folder for a process that leaves the writing to another one."""

    def __init__(self, path: Path, config: TrainConfig):
        self.path = path
        self.config = config

    def save_checkpoint(self, tensors: Mapping[str, Tensor], state: Mapping[str, object]) -> bool:
        return True

    def save_epochs(self, records: Sequence[EpochRecord]) -> None:
        pass

    def save_pretrained(self, pretrained: Pretrained) -> None:
        pass

    def finish(
        self, records: Sequence[EpochRecord], model: nn.Module, summary: dict[str, object]
    ) -> None:
        pass


def _warn(text: str) -> None:
    tell(f"warning: {text}", sys.stderr)


def refuse_if_taken(path: Path) -> None:
    """Raise InputError for what no run can be put into or gone on with: a file, a finished run."""
    if path.exists() and not path.is_dir():
        raise InputError(f"--out {path} is a file; name a folder")
    if not path.is_dir() or _is_begun(path):
        return
    # A name with a leading dot is what an interrupted write has left.
    if any(not file.name.startswith(".") for file in path.iterdir()):
        what = "a run" if (path / "summary.json").exists() else "files"
        raise InputError(f"--out {path} already holds {what}; name another folder or remove it")


def _is_begun(path: Path) -> bool:
    """Whether a folder holds an unfinished run, or runs of several seeds."""
    if (path / "config.json").exists():
        return not (path / "summary.json").exists()
    return (path / COMMAND).exists() or any(path.glob("seed*/config.json"))


def summary_of_seeds(path: Path, seeds: Sequence[int]) -> dict[str, object] | None:
    """What a folder's summary says of just these seeds; None where there is none."""
    found = _object(path / "summary.json") if (path / "summary.json").exists() else {}
    return found if found.get("seeds") == list(seeds) else None


def finished_summary(path: Path, config: TrainConfig) -> dict[str, object] | None:
    """The summary of a finished run of that configuration; None where there is none.

    Raises:
        InputError: the run in the folder has another configuration.
    """
    if not (path / "summary.json").exists():
        return None
    refuse_another_run(path, config)
    return _object(path / "summary.json")


def differences(path: Path, config: TrainConfig) -> str:
    """In what the run in a folder has another configuration; empty if in nothing that matters.

    Raises:
        InputError: its configuration cannot be read.
    """
    theirs = _object(path / "config.json")
    ours = json.loads(json.dumps(asdict(config)))  # tuples as JSON has them
    names = [name for name in ours if name not in MAY_CHANGE]
    return ", ".join(found for n in names for found in _differences(n, theirs.get(n), ours[n]))


def _differences(name: str, their: object, our: object) -> Iterator[str]:
    if isinstance(their, dict) and isinstance(our, dict):
        for part in dict.fromkeys((*their, *our)):
            yield from _differences(f"{name} {part}", their.get(part), our.get(part))
    elif their != our:
        yield f"{name} {their} there, {our} here"


def _object(path: Path) -> dict[str, object]:
    return read_object(path, "--out", "name another folder")


def refuse_another_run(path: Path, config: TrainConfig) -> None:
    """Raise InputError if a folder holds a run of another configuration."""
    found = (path / "config.json").exists() and differences(path, config)
    if found:
        raise InputError(
            f"--out {path} holds a run of another configuration ({found}); go on with that one by "
            "--resume, or name another folder"
        )


def default_path(config: TrainConfig, seeds: Sequence[int]) -> Path:
    """A new folder under runs/, named by the time and what is run."""
    now = datetime.now().strftime("%Y%m%d-%H%M%S")
    c = config
    which = "seed" + "-".join(map(str, seeds))
    base = Path("runs") / f"{now}-{c.dataset}-{as_file_name(c.model)}-{c.method}-{which}"
    path, again = base, 1
    while path.exists():
        again += 1
        path = base.with_name(f"{base.name}-{again}")
    return path
