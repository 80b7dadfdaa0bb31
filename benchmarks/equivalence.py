"""python -m benchmarks.equivalence: the test error of the fast path beside the reference's.

benchmarks/README.md has the rules.
"""

import argparse
import json
import os
import signal
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks.command_line import device_of, listed
from benchmarks.hardware import header, header_lines
from benchmarks.reference_train import METHODS
from benchmarks.results import table, write_json
from benchmarks.trainings import (
    ARMS,
    FAST,
    REFERENCE,
    Configuration,
    Job,
    Training,
    run_jobs,
    seconds_left,
)
from ffdwv_fast.command import ArgumentParser, non_negative_int, positive_int, run_command
from ffdwv_fast.data.dali_loader import dali_available
from ffdwv_fast.data.registry import load_dataset
from ffdwv_fast.engine.precision import AMP_DTYPES, AUTO, chosen_amp
from ffdwv_fast.errors import InputError
from ffdwv_fast.models import MODELS
from ffdwv_fast.reproduce.statistics import paired_difference

MARGIN = 1.5  # points of test error
CONFIDENCE = 0.9  # two one-sided tests at 5 %

RECIPE = {
    "dataset": "cifar10",
    "model": "resnet20",
    "epochs": 5,
    "images": 10_000,
    "batch_size": 128,
    # Half the usual rate and less: the first epochs of a short run are less of a gamble with it,
    # which narrows the interval.
    "lr": 0.02,
}
TINY_RECIPE = {
    "dataset": "digits",
    "model": "resnet8",
    "epochs": 1,
    "images": 200,
    "batch_size": 32,
    "lr": 0.05,
}
SEEDS, TINY_SEEDS = list(range(8)), [0, 1]

HEAD = ("seed", f"{REFERENCE}, %", f"{FAST}, %", "difference, points")
EXPLANATION = (
    "Error on the complete test set after the last epoch, of runs that share a seed; difference:",
    "fast (ffdwv_fast.train --amp) minus reference (benchmarks.reference_train), below 0",
    "where the fast path errs less.",
)


class Difference(NamedTuple):
    """Fast minus reference over pairs of runs, in points of test error.

    Attributes:
        mean: of the differences.
        sd: standard deviation of the differences, with n - 1.
        n: pairs.
        low: lower end of the confidence interval of the mean.
        high: its upper end.
        within: whether the interval lies within +-MARGIN.
    """

    mean: float
    sd: float
    n: int
    low: float
    high: float
    within: bool


def parser() -> ArgumentParser:
    """The command's options."""
    p = ArgumentParser(prog="python -m benchmarks.equivalence", description=__doc__.splitlines()[0])
    r = RECIPE
    what = p.add_argument_group("what is trained")
    what.add_argument(
        "--data-dir", type=Path, default=Path("data"), metavar="DIR", help="of CIFAR-10"
    )
    what.add_argument("--model", choices=MODELS, help=f"the network (default: {r['model']})")
    what.add_argument("--epochs", type=positive_int, help=f"of each run (default: {r['epochs']})")
    what.add_argument(
        "--images", type=positive_int, help=f"to train on (default: {r['images']}), for all alike"
    )
    what.add_argument("--method", choices=METHODS, default="ffdwv", help="the loss")
    how = p.add_argument_group("how")
    how.add_argument(
        "--seeds",
        type=listed(non_negative_int),
        metavar="N,N,...",
        help="two runs for each, at least two (default: 0 to 7)",
    )
    how.add_argument(
        "--jobs", type=positive_int, default=2, help="runs at once, which share the cores"
    )
    how.add_argument(
        "--amp",
        choices=[AUTO, *AMP_DTYPES],
        default=AUTO,
        help="of the fast path; auto: bf16, but off on a CPU without instructions for it",
    )
    how.add_argument("--device", choices=["cpu", "cuda"], help="default: cuda if there is one")
    how.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="keep every run there as it ends; what it holds already is not run again",
    )
    how.add_argument("--tiny", action="store_true", help="run every line on digits, show nothing")
    return p


def configuration(options: argparse.Namespace) -> Configuration:
    """What the options ask for.

    Raises:
        InputError: there is no such device.
    """
    chosen = dict(TINY_RECIPE if options.tiny else RECIPE)
    for name in ("model", "epochs", "images"):
        if (asked := getattr(options, name)) is not None:
            chosen[name] = asked
    device = device_of(options)
    return Configuration(
        method=options.method,
        **chosen,
        weight_decay=1e-4,
        device=device.type,
        loader="dali" if dali_available() else "torch",
        amp=chosen_amp(options.amp, device),
        torch=torch.__version__,
    )


def checked_seeds(options: argparse.Namespace) -> list[int]:
    """The seeds of the options.

    Raises:
        InputError: one stands there twice, or there are fewer than two.
    """
    seeds = options.seeds or (TINY_SEEDS if options.tiny else SEEDS)
    if len(set(seeds)) < max(2, len(seeds)):
        raise InputError(
            f"--seeds {','.join(map(str, seeds))}: expected at least two, all different"
        )
    return seeds


def earlier_runs(path: Path | None, config: Configuration) -> list[dict[str, object]]:
    """The runs that a result file holds; none where there is no file.

    Raises:
        InputError: it is no file of this command, or its runs have another configuration.
    """
    if path is None or not path.exists():
        return []
    try:
        content = json.loads(path.read_text())
        theirs, runs = dict(content["configuration"]), list(content["runs"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"--json {path}: holds no result of benchmarks.equivalence; name another file"
        ) from error
    for name, value in config._asdict().items():
        if theirs.get(name) != value:
            raise InputError(
                f"--json {path}: its runs have {name} {theirs.get(name)}, not {value}; name "
                "another file or remove it"
            )
    return runs


def difference(reference: Sequence[float], fast: Sequence[float]) -> Difference:
    """Fast minus reference, with the confidence interval of the mean by Student's t.

    Args:
        reference: test errors in percent, at least two.
        fast: those of the same seeds, in the same order.
    """
    found = paired_difference(dict(enumerate(fast)), dict(enumerate(reference)), CONFIDENCE)
    return Difference(*found, found.low >= -MARGIN and found.high <= MARGIN)


def lines(found: dict[str, object]) -> list[str]:
    """Table and conclusion."""
    d = Difference(**found["difference"])
    errors = paired_errors(found["runs"], found["seeds"])
    rows = [(str(seed), *pair) for seed, *pair in zip(found["seeds"], *errors, strict=True)]
    cells = [(name, f"{a:.2f}", f"{b:.2f}", f"{b - a:.2f}") for name, a, b in rows]
    means, sds = (map(f, errors) for f in (statistics.fmean, statistics.stdev))
    cells.append(("mean", *(f"{value:.2f}" for value in means), f"{d.mean:.2f}"))
    cells.append(("sd", *(f"{value:.2f}" for value in sds), f"{d.sd:.2f}"))
    return [
        *table(HEAD, cells),
        "",
        f"{100 * CONFIDENCE:.0f} % confidence interval of the mean difference (Student's t, n = "
        f"{d.n}): {d.low:.2f} to {d.high:.2f} points,",
        f"{'within' if d.within else 'NOT within'} +-{MARGIN} points",
    ]


def paired_errors(
    runs: Sequence[dict[str, object]], seeds: Sequence[int]
) -> tuple[list[float], list[float]]:
    """Test errors of reference and fast path, in percent, in the order of the seeds."""
    errors = {(run["arm"], run["seed"]): run["test_error"] for run in runs}
    reference, fast = ([errors[arm, seed] for seed in seeds] for arm in ARMS)
    return reference, fast


def setting_lines(found: dict[str, object]) -> list[str]:
    """What was run, for people."""
    c = Configuration(**found["configuration"])
    commits = sorted({str(run["commit"])[:12] for run in found["runs"]})
    return [
        f"{c.method}, {c.model}, {c.dataset}, {c.images:,} training images, epochs: {c.epochs}, "
        f"batch {c.batch_size}, weight decay {c.weight_decay},",
        f"learning rate {c.lr}, a tenth of it from 50 % and a hundredth from 75 % of the run; fast "
        f"path: {c.loader} loader, amp {c.amp}",
        f"runs of commit {', '.join(commits)}",
    ]


def measure(options: argparse.Namespace) -> dict[str, object]:
    """Do the runs that are missing, keeping each as it ends, and compare them.

    Raises:
        InputError: options, data set or result file do not fit, or a run failed.
    """
    config, seeds = configuration(options), checked_seeds(options)
    runs = earlier_runs(options.json, config)
    # Whatever is wrong with it shows here, and a download does not happen once in each run.
    load_dataset(config.dataset, options.data_dir).limit_train(config.images)
    head = header(torch.device(config.device))
    found = {"header": head, "configuration": config._asdict(), "seeds": seeds, "runs": runs}
    ended = {(run["arm"], run["seed"]) for run in runs}
    todo = [Job(arm, seed) for seed in seeds for arm in ARMS if (arm, seed) not in ended]
    _say(f"{len(todo)} of {len(seeds) * len(ARMS)} runs to do")
    threads = max(1, len(os.sched_getaffinity(0)) // options.jobs)

    def start(job: Job) -> Training:
        return Training(job, config, options.data_dir, threads)

    def keep(result: dict[str, object], waiting: list[Job], running: list[Training]) -> None:
        origin = {"threads": threads, "commit": head["commit"], "dirty": head["dirty"]}
        runs.append({**result, **origin})
        if options.json:
            write_json(options.json, found)
        minutes = seconds_left(runs, waiting, running, options.jobs) / 60
        _say(
            f"{result['arm']}, seed {result['seed']}: test error {result['test_error']:.2f} %, "
            f"{result['seconds']:.0f} s; left: {len(waiting) + len(running)}, ETA {minutes:.0f} min"
        )

    run_jobs(todo, options.jobs, start, keep)
    found["difference"] = difference(*paired_errors(runs, seeds))._asdict()
    return found


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main(argv: list[str] | None) -> None:
    """Run the command."""
    options = parser().parse_args(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the runs must not outlive it
    found = measure(options)
    if options.json:
        write_json(options.json, {**found, "table": lines(found)})
    top = [*EXPLANATION, *header_lines(found["header"]), *setting_lines(found)]
    print("\n".join([*top, "", *lines(found)]))


if __name__ == "__main__":
    run_command(main)
