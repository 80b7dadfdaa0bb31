"""Finished runs, found again by what they are."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
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
        place: its folder, or the collection that it is in.
        config: what it is.
        summary: what summary.json holds.
        recorded: the lines of metrics.jsonl; None for what its folder has.
    """

    place: Path
    config: TrainConfig
    summary: dict[str, object]
    recorded: Sequence[dict[str, object]] | None = None

    def epochs(self) -> Sequence[dict[str, object]]:
        """The lines of metrics.jsonl."""
        if self.recorded is not None:
            return self.recorded
        return [json.loads(line) for line in (self.place / "metrics.jsonl").open()]


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


def finished_runs(places: Iterable[Path]) -> dict[str, FinishedRun]:
    """The finished runs in some places, by key.

    A run counts once its summary is there, which is written last. Of runs with the same key the
    first one counts: in the order of the places, then of the paths.

    Args:
        places: collections, and folders to look through at any depth; those that do not exist hold
            nothing.

    Raises:
        InputError: a run, or a line of a collection, cannot be read.
    """
    found: dict[str, FinishedRun] = {}
    for place in places:
        runs = _collected(place) if place.is_file() else map(_read, _run_folders(place))
        for run in runs:
            if run is not None:
                found.setdefault(run_key(run.config), run)
    return found


def collection(runs: Iterable[FinishedRun]) -> str:
    """Finished runs as lines of JSON, without their weights: what one file can carry elsewhere.

    Folders of this machine are left out where `run_key` does not need them.
    """
    lines = []
    for run in runs:
        config = {**asdict(run.config), "data_dir": "data", "teacher_dir": "runs/teachers"}
        if config["similarity"] is not None:
            source = _portable("source", config["similarity"]["source"])
            config["similarity"] = {**config["similarity"], "source": source}
        lines.append(
            json.dumps({"config": config, "summary": run.summary, "epochs": list(run.epochs())})
        )
    return "".join(f"{line}\n" for line in lines)


def _collected(path: Path) -> Iterator[FinishedRun | None]:
    try:
        for line in path.read_text().splitlines():
            run = json.loads(line)
            config, summary, epochs = (run[name] for name in ("config", "summary", "epochs"))
            if not (isinstance(config, dict) and isinstance(summary, dict)):
                raise TypeError("config and summary are objects")
            yield _run(path, config, summary, epochs)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is no collection of finished runs, as reproduce writes them to runs.jsonl "
            f"({type(error).__name__}: {error}); leave it out"
        ) from error


def _run_folders(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("config.json")):
        if (path.parent / "summary.json").exists() and not _is_hidden(path.parent):
            yield path.parent


def _is_hidden(path: Path) -> bool:
    return path.name.startswith(".")


def _read(path: Path) -> FinishedRun | None:
    try:
        config, summary = (json.loads((path / f"{n}.json").read_text()) for n in _FILES)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} holds no readable run ({error}); remove it") from error
    return _run(path, config, summary)


def _run(
    place: Path,
    config: dict[str, object],
    summary: dict[str, object],
    recorded: Sequence[dict[str, object]] | None = None,
) -> FinishedRun | None:
    """None for what is no run that can be made today: of a method or an option that is gone."""
    try:
        run = FinishedRun(place, TrainConfig(**config), summary, recorded)
    except TypeError:
        return None
    return run if run.config.method in METHODS else None


_FILES = ("config", "summary")
