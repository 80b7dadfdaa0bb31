"""Finished runs, found again by what they are."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from ffdwv_fast.engine.config import TrainConfig
from ffdwv_fast.errors import InputError
from ffdwv_fast.methods import METHODS

# How a run is computed, not what: each has its test that it changes nothing, or rounding alone.
HOW = (
    *("data_dir", "teacher_dir", "device", "loader", "workers", "compile", "cuda_graph"),
    *("without", "evaluate_every", "checkpoint_minutes", "tensorboard"),
)


class FinishedRun(NamedTuple):
    """A run that has ended.

    Attributes:
        folder: where it is.
        config: what it is.
        summary: what summary.json holds.
    """

    folder: Path
    config: TrainConfig
    summary: dict[str, object]

    def epochs(self) -> list[dict[str, object]]:
        """The lines of metrics.jsonl."""
        return [json.loads(line) for line in (self.folder / "metrics.jsonl").open()]


def run_key(config: TrainConfig) -> str:
    """A run's identity: sixteen hexadecimal digits of a hash of its configuration.

    Leaves out how it is computed (`HOW`), and what its method does not use. A vector file counts by
    its name and by the mean diagonal of S, so that it may lie elsewhere on another machine.
    """
    identity = {name: value for name, value in asdict(config).items() if name not in HOW}
    if not METHODS[config.method].uses_soft_weight:
        del identity["soft_weight"], identity["soft_weight_schedule"]
    if config.pretrained is None:  # so that runs keep the key they had before there was this option
        del identity["pretrained"]
    if config.similarity is not None:
        identity["similarity"] = {
            name: _portable(name, value) for name, value in config.similarity.items()
        }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def _portable(name: str, value: object) -> object:
    if name == "source":
        return Path(str(value)).name
    return f"{value:.5g}" if isinstance(value, float) else value


def finished_runs(folders: Iterable[Path]) -> dict[str, FinishedRun]:
    """The finished runs below some folders, by key.

    A run counts once its summary is there, which is written last. Of runs with the same key the
    first one counts: in the order of the folders, then of the paths.

    Args:
        folders: to look through, at any depth; those that do not exist hold nothing.
    """
    found: dict[str, FinishedRun] = {}
    for folder in folders:
        for path in _run_folders(folder):
            run = _read(path)
            if run is not None:
                found.setdefault(run_key(run.config), run)
    return found


def _run_folders(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("config.json")):
        if (path.parent / "summary.json").exists() and not _is_hidden(path.parent):
            yield path.parent


def _is_hidden(path: Path) -> bool:
    return path.name.startswith(".")


def _read(path: Path) -> FinishedRun | None:
    """None for what is no run that can be made today: of a method or an option that is gone."""
    try:
        config, summary = (json.loads((path / f"{n}.json").read_text()) for n in _FILES)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} holds no readable run ({error}); remove it") from error
    try:
        run = FinishedRun(path, TrainConfig(**config), summary)
    except TypeError:
        return None
    return run if run.config.method in METHODS else None


_FILES = ("config", "summary")
