"""python -m ffdwv_fast.choose: which options err least on validation images.

Compares runs that were trained with --validation, those of one method, network and data set with
each other, over the same seeds. A run that was evaluated on the test set is refused: what is chosen
by the test set is no longer measured by it.
"""

from ffdwv_fast.extras import EVERY_RUN, exit_without

if __name__ == "__main__":  # what is imported next needs them
    exit_without(*EVERY_RUN, "scipy")

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from ffdwv_fast.command import ArgumentParser, run_command
from ffdwv_fast.errors import InputError
from ffdwv_fast.report.runs import Group, ReportRun, grouped, read_runs
from ffdwv_fast.reproduce.statistics import CONFIDENCE, PairedDifference, paired_difference

ERROR = "validation_error"
SAME = ("train_limit", "validation")
"""What all candidates must share, as the images that are held out follow from it and the seed."""


class Candidate(NamedTuple):
    """Options that were tried.

    Attributes:
        name: tells them from the others.
        errors: validation error in percent, by seed.
        mean: of the errors.
        difference: to the best candidate's errors on the same seeds; None for the best.
    """

    name: str
    errors: Mapping[int, float]
    mean: float
    difference: PairedDifference | None

    @property
    def is_told_apart(self) -> bool:
        """Whether the interval of its difference to the best leaves 0 out."""
        low = None if self.difference is None else self.difference.low
        return low is not None and low > 0


def parser() -> ArgumentParser:
    """The command's options."""
    p = ArgumentParser(prog="python -m ffdwv_fast.choose", description=__doc__)
    p.add_argument(
        "runs",
        type=Path,
        nargs="+",
        metavar="RUN",
        help="folder of a run with --validation, or of --seeds; runs that differ in the seed alone "
        "are put together",
    )
    return p


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    runs = read_runs(parser().parse_args(argv).runs)
    for run in runs:
        _refuse_unfit(run)
    groups, notes = grouped(runs)
    by_subject: dict[tuple[str, str, str], list[Group]] = {}
    for group in groups:
        c = group.config
        by_subject.setdefault((c.dataset, c.model, c.method), []).append(group)
    print("\n\n".join(_text(candidates(alike)) for alike in by_subject.values()))
    for note in notes:
        print(note)


def _refuse_unfit(run: ReportRun) -> None:
    if run.config.validation is None:
        raise InputError(
            f"{run.folder} was evaluated on the test set, by which nothing may be chosen: train it "
            "with --validation N"
        )
    if run.summary is None:
        raise InputError(f"{run.folder} has not finished: go on with it, or leave it out")


def candidates(groups: Sequence[Group]) -> list[Candidate]:
    """What was tried for one method, network and data set, the best first.

    Args:
        groups: runs that differ in the seed alone, one group for each candidate.

    Raises:
        InputError: they had not the same images to train and to validate on, or not the same seeds.
    """
    first = groups[0]
    for group in groups[1:]:
        _refuse_incomparable(first, group)
    found = []
    for group in groups:
        errors = {run.config.seed: float(run.summary[ERROR]) for run in group.runs}
        found.append((fmean(errors.values()), group.name, errors))
    found.sort(key=lambda entry: entry[:2])
    (mean, name, errors), *others = found
    return [
        Candidate(name, errors, mean, None),
        *(Candidate(n, own, m, paired_difference(own, errors)) for m, n, own in others),
    ]


def _refuse_incomparable(first: Group, other: Group) -> None:
    for option in SAME:
        own, expected = (getattr(group.config, option) for group in (other, first))
        if own != expected:
            raise InputError(
                f"{other.runs[0].folder} has --{option.replace('_', '-')} {own}, "
                f"{first.runs[0].folder} {expected}: they are not measured on the same images; "
                "compare runs that agree"
            )
    own, expected = ([run.config.seed for run in group.runs] for group in (other, first))
    if own != expected:
        raise InputError(
            f"{other.name}: seeds {', '.join(map(str, own))}; {first.name}: seeds "
            f"{', '.join(map(str, expected))}; train both with the same ones"
        )


def _text(tried: Sequence[Candidate]) -> str:
    best, others = tried[0], tried[1:]
    width = max(len(c.name) for c in tried)
    seeds = f"seed{'s' * (len(best.errors) > 1)} {', '.join(map(str, best.errors))}"
    interval = f"{100 * CONFIDENCE:.0f} % interval"
    lines = [f"validation error over {seeds}; minus the best one's, with {interval}"]
    lines += [f"  {c.name:<{width}}  {c.mean:6.2f} %{_difference(c)}" for c in tried]
    lines.append(f"least: {best.name}")
    close = [c.name for c in others if not c.is_told_apart]
    if close:
        lines.append(f"not told apart from it by these runs: {'; '.join(close)}")
    return "\n".join(lines)


def _difference(candidate: Candidate) -> str:
    d = candidate.difference
    if d is None:
        return ""
    interval = "" if d.low is None else f" [{d.low:+.2f}, {d.high:+.2f}]"
    return f"  {d.mean:+.2f}{interval}"


if __name__ == "__main__":
    run_command(main)
