"""The runs of a report: read from their folders, and put together where only the seed differs."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ffdwv_fast.engine.config import TrainConfig
from ffdwv_fast.engine.trainer import EpochRecord
from ffdwv_fast.errors import InputError
from ffdwv_fast.methods import METHODS
from ffdwv_fast.report.predictions import Predictions
from ffdwv_fast.reproduce.statistics import Sample, sample
from ffdwv_fast.reproduce.store import HOW, run_key


@dataclass(frozen=True, eq=False)
class ReportRun:
    """A run as its folder holds it.

    Attributes:
        folder: where it is.
        config: what it is.
        epochs: that have ended, oldest first.
        summary: what summary.json holds; None for a run that has not finished.
        predictions: of its network on the images it was evaluated on; None where they were not
            asked for, and for a run that has not finished.
    """

    folder: Path
    config: TrainConfig
    epochs: tuple[EpochRecord, ...]
    summary: dict[str, object] | None
    predictions: Predictions | None = None

    @property
    def evaluated_on(self) -> str:
        """ "test", or "validation" for a run with --validation."""
        return "test" if self.config.validation is None else "validation"

    def value(self, name: str) -> float | None:
        """A number of the summary; `{on}` in the name stands for the images evaluated on."""
        found = (self.summary or {}).get(name.format(on=self.evaluated_on))
        return None if found is None else float(found)


@dataclass(frozen=True, eq=False)
class Group:
    """Runs of one configuration but for the seed.

    Attributes:
        name: tells it from the other groups of the page.
        runs: by seed; at least one.
        colour: in every chart, as CSS has it.
    """

    name: str
    runs: tuple[ReportRun, ...]
    colour: str

    @property
    def config(self) -> TrainConfig:
        """Of the first run; the others differ in the seed, and in what changes no result."""
        return self.runs[0].config

    @property
    def evaluated_on(self) -> str:
        """As `ReportRun.evaluated_on`."""
        return self.runs[0].evaluated_on

    @property
    def predicted(self) -> tuple[tuple[ReportRun, Predictions], ...]:
        """The runs whose predictions there are."""
        return tuple((r, r.predictions) for r in self.runs if r.predictions is not None)

    def sample(self, name: str) -> Sample | None:
        """Mean, sd and n of a number over the runs whose summaries have it: `ReportRun.value`."""
        return sample([v for v in (run.value(name) for run in self.runs) if v is not None])


# Okabe and Ito's, which people with any colour vision tell apart; the yellow one is left out.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")


def read_runs(folders: Sequence[Path]) -> list[ReportRun]:
    """The runs in some folders, finished or not, in their order and each once.

    Args:
        folders: of a run, or of `--seeds`, with a folder for each seed.

    Raises:
        InputError: a folder holds no run, or one that cannot be read.
    """
    found = {path.resolve(): path for folder in folders for path in _run_folders(folder)}
    return [_read(path) for path in found.values()]


def _run_folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder; name the folder of a run")
    if (folder / "config.json").exists():
        return [folder]
    seeds = [path.parent for path in folder.glob("seed*/config.json")]
    if not seeds:
        raise InputError(
            f"{folder} is not a run: it holds neither config.json nor folders seedN that do; name "
            "folders that python -m ffdwv_fast.train has written"
        )
    return sorted(seeds, key=lambda path: (len(path.name), path.name))


def _read(folder: Path) -> ReportRun:
    try:
        content = json.loads((folder / "config.json").read_text())
        config = TrainConfig(**content)
        if config.method not in METHODS:
            raise ValueError(f"method {config.method!r} is unknown")
        lines = folder / "metrics.jsonl"
        epochs = tuple(_epochs(lines.read_text())) if lines.exists() else ()
        summary = folder / "summary.json"
        summary = json.loads(summary.read_text()) if summary.exists() else None
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"{folder} holds no run that this version can read ({error}); leave it out"
        ) from None
    return ReportRun(folder, config, epochs, summary)


def _epochs(text: str) -> Iterator[EpochRecord]:
    for line in text.splitlines(keepends=True):
        if line.endswith("\n"):  # else a process was killed while it wrote the line
            yield EpochRecord(**json.loads(line))


def grouped(runs: Sequence[ReportRun]) -> tuple[list[Group], list[str]]:
    """Put runs together whose configurations differ in the seed alone.

    Of runs with the same seed too the first one counts: they are no independent samples.

    Args:
        runs: at least one.

    Returns:
        The groups in the order of their first runs, and a sentence for each run left out.
    """
    members: dict[str, dict[int, ReportRun]] = {}
    notes = []
    for run in runs:
        seeds = members.setdefault(run_key(replace(run.config, seed=0)), {})
        first = seeds.setdefault(run.config.seed, run)
        if first is not run:
            notes.append(f"{run.folder} is left out: it repeats {first.folder}, the seed included.")
    alike = [tuple(seeds[seed] for seed in sorted(seeds)) for seeds in members.values()]
    names = _names([runs[0].config for runs in alike])
    return [
        Group(name, runs, COLOURS[number % len(COLOURS)])
        for number, (name, runs) in enumerate(zip(names, alike, strict=True))
    ], notes


def _names(configs: Sequence[TrainConfig]) -> list[str]:
    """Method, network and data set, and whatever else differs between those that share these."""
    bases = [f"{c.method}, {c.model} on {c.dataset}" for c in configs]
    options = [options_of(c) for c in configs]
    names = []
    for base, own in zip(bases, options, strict=True):
        alike = [o for b, o in zip(bases, options, strict=True) if b == base]
        told = [
            f"{name} {value}"
            for name, value in own.items()
            if name.replace(" ", "_") not in (*HOW, "seed")
            and len({other.get(name) for other in alike}) > 1
        ]
        names.append(", ".join([base, *told]))
    return names


def options_of(config: TrainConfig) -> dict[str, str]:
    """A configuration as words, with the parts of S and of the teacher each by itself."""
    found = {}
    for name, value in vars(config).items():
        if name in ("similarity", "teacher", "images"):  # None where there is none
            found.update({f"{name} {part}": _word(v) for part, v in (value or {}).items()})
        else:
            found[name] = _word(value)
    return {name.replace("_", " "): value for name, value in found.items()}


def _word(value: object) -> str:
    if value is None or value in ((), []):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
