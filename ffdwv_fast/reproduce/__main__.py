"""python -m ffdwv_fast.reproduce: train what is missing; print and write tables and figures."""

from ffdwv_fast.extras import EVERY_RUN, exit_without

if __name__ == "__main__":  # what is imported next needs them
    exit_without(*EVERY_RUN)

import contextlib
import io
import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import torch

from ffdwv_fast.command import ArgumentParser, positive_float, positive_int, run_command
from ffdwv_fast.engine.config import TrainConfig
from ffdwv_fast.errors import InputError
from ffdwv_fast.folder_lock import locked_folder
from ffdwv_fast.models.build import as_file_name, refuse_unknown_model
from ffdwv_fast.reproduce.page import as_page, text_of
from ffdwv_fast.reproduce.plans import PLANS, ROLES, Arm, Plan, arms, options, order, unregistered
from ffdwv_fast.reproduce.runner import Job, Workshop, available_cores
from ffdwv_fast.reproduce.sections import similarity_section, table_section, write_text
from ffdwv_fast.reproduce.store import FinishedRun, collection, finished_runs, run_key
from ffdwv_fast.semantics.bundled import BUNDLED_SOURCE
from ffdwv_fast.training.configuration import configuration

MOST_JOBS = 4
COLLECTION = "runs.jsonl"


def parser() -> ArgumentParser:
    """The command's options."""
    p = ArgumentParser(
        prog="python -m ffdwv_fast.reproduce",
        description=__doc__,
        epilog="Options after -- go to every training run: -- --data-dir DIR --amp",
    )
    p.add_argument("what", choices=[*PLANS, "all"], help="which table or figure")
    runs = p.add_argument_group("runs")
    runs.add_argument(
        "--seeds",
        type=positive_int,
        default=3,
        metavar="N",
        help="runs of each configuration, with the seeds 0 to N - 1",
    )
    runs.add_argument(
        "--epochs",
        type=positive_int,
        metavar="N",
        help="passes over the training images (default: 300; 15 for digits)",
    )
    names = dict(type=lambda text: text.split(","), default=[], metavar="NAME,...")
    runs.add_argument(
        "--datasets", "--dataset", help="data sets to train on (default: the paper's)", **names
    )
    runs.add_argument(
        "--models",
        help="networks to train (default: the paper's; for digits resnet8,resnet20)",
        **names,
    )
    runs.add_argument(
        "--word-vectors",
        action="append",
        metavar="SOURCE",
        help="what S is made of, as in train; may be repeated: the controls use the first "
        f"(default: {BUNDLED_SOURCE})",
    )
    files = p.add_argument_group("files")
    files.add_argument(
        "--output", type=Path, default=Path("reproduced"), metavar="DIR", help="runs and tables"
    )
    files.add_argument(
        "--page",
        type=Path,
        metavar="FILE",
        help="Markdown with all tables and pictures; what other calls wrote there stays (default: "
        "results.md in --output)",
    )
    files.add_argument(
        "--results",
        type=Path,
        action="append",
        default=[],
        metavar="PATH",
        help="more finished runs, of other machines or days: a folder, or the "
        f"{COLLECTION} that this command wrote; may be repeated",
    )
    work = p.add_argument_group("work")
    work.add_argument(
        "--time-budget",
        type=positive_float,
        metavar="MINUTES",
        help="begin no run that would end later than that",
    )
    work.add_argument(
        "--jobs",
        type=positive_int,
        metavar="N",
        help=f"runs at once (default: 1 on a GPU, else 1 a core, {MOST_JOBS} at most)",
    )
    work.add_argument("--dry-run", action="store_true", help="say what would be trained, and stop")
    return p


class Reproduction:
    """What was asked for: plans, arms, runs and their keys."""

    def __init__(self, args: Namespace, extra: Sequence[str]):
        self.args = args
        self.sources = args.word_vectors or [BUNDLED_SOURCE]
        self.plans = list(PLANS.values()) if args.what == "all" else [PLANS[args.what]]
        wanted = {plan.name: self._arms(plan) for plan in self.plans}
        everything = [arm for own in wanted.values() for arm in own]
        self.missing_methods = unregistered(everything)
        self.arms = {name: [a for a in own if a.registered] for name, own in wanted.items()}
        teachers = ("--teacher-dir", str(args.output / "teachers"))
        # The user's come last and win.
        self.options = {
            arm: tuple(options(arm, args.epochs, [*teachers, *extra]))
            for own in self.arms.values()
            for arm in own
        }
        self.configs = {arm: _configuration(own) for arm, own in self.options.items()}
        self.runs = order(self.options, range(args.seeds))
        self.keys = {
            (arm, seed): run_key(replace(self.configs[arm], seed=seed)) for arm, seed in self.runs
        }

    def _arms(self, plan: Plan) -> list[Arm]:
        return arms(plan, self.args.datasets, self.args.models, self.sources)

    def finished(self) -> dict[str, FinishedRun]:
        """Every finished run that there is, wanted or not, by key."""
        own = [self.args.output / name for name in ("runs", "teachers", COLLECTION)]
        return finished_runs([*own, *self.args.results])

    def results(self) -> dict[Arm, dict[int, FinishedRun]]:
        """The finished runs by arm and seed."""
        finished = self.finished()
        found: dict[Arm, dict[int, FinishedRun]] = {arm: {} for arm in self.options}
        for (arm, seed), key in self.keys.items():
            if key in finished:
                found[arm][seed] = finished[key]
        return found

    def jobs(self, results: dict[Arm, dict[int, FinishedRun]]) -> list[Job]:
        """What is missing; neighbouring seeds of an arm together."""
        found: list[Job] = []
        for arm, seed in self.runs:
            if seed in results[arm]:
                continue
            if found and found[-1].arm == arm:
                found[-1] = found[-1]._replace(seeds=(*found[-1].seeds, seed))
                continue
            # Of the first seed's key, so that another configuration has another folder.
            name = "-".join([*as_file_name(arm.label).split(), self.keys[arm, 0][:8]])
            found.append(Job(arm, (seed,), self.options[arm], name))
        return found

    def left_out(self, plan: Plan) -> list[str]:
        """Sentences on the arms of a plan that cannot be trained."""
        own = [a for a in self._arms(plan) if not a.registered]
        return [f"Skipped: {arm.label}, as no method {arm.method} is registered." for arm in own]


def _configuration(argv: Sequence[str]) -> TrainConfig:
    with contextlib.redirect_stdout(io.StringIO()):
        return configuration(list(argv))


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    argv = sys.argv[1:] if argv is None else argv
    cut = argv.index("--") if "--" in argv else len(argv)
    args, extra = parser().parse_args(argv[:cut]), argv[cut + 1 :]
    _check(args, extra)
    wanted = Reproduction(args, extra)
    for method in wanted.missing_methods:
        print(f"skipped: every arm of {method}, as no such method is registered", flush=True)
    jobs = wanted.jobs(wanted.results())
    done = len(wanted.runs) - sum(len(job.seeds) for job in jobs)
    print(f"{len(wanted.runs)} runs: {done} done, {len(wanted.runs) - done} to do", flush=True)
    if args.dry_run:
        for job in jobs:
            print(
                f"{job.arm.label}, seeds {','.join(map(str, job.seeds))}: {' '.join(job.options)}"
            )
        return
    advice = "wait for it, or name another folder and merge the two later with --results"
    with locked_folder(args.output, "--output", advice):
        workshop = _work(wanted)
        _report(wanted)
    for job in workshop.left:
        print(f"no time left for {job.arm.label}, seeds {','.join(map(str, job.seeds))}")
    if workshop.failed:
        raise SystemExit(1)


def _check(args: Namespace, extra: Sequence[str]) -> None:
    for name in args.datasets:
        if name not in ROLES:
            raise InputError(f"--datasets {name}: expected names of {', '.join(ROLES)}")
    try:
        for name in args.models:
            refuse_unknown_model(name)
    except InputError as error:
        raise InputError(f"--models {error}") from None
    for place in args.results:
        if not place.exists():
            raise InputError(f"--results {place}: there is no such folder or file")
    text_of(_page(args))
    own = {"--seed", "--seeds", "--out", "--method", "--dataset", "--model", "--validation"}
    for option in extra:
        if option.partition("=")[0] in own:
            raise InputError(f"{option} after --: the plan sets that; leave it out")


def _work(wanted: Reproduction) -> Workshop:
    args, results = wanted.args, wanted.results()

    def estimate(arm: Arm) -> float | None:
        now = wanted.results()
        alike = [a for a in now if (a.dataset, a.model) == (arm.dataset, arm.model) and now[a]]
        times = [r.summary["seconds"] for a in alike for r in now[a].values()]
        return fmean(times) if times else None

    def done(arm: Arm, seed: int) -> bool:
        return seed in wanted.results()[arm]

    at_once = args.jobs or (1 if torch.cuda.is_available() else min(MOST_JOBS, available_cores()))
    seconds = None if args.time_budget is None else 60 * args.time_budget
    workshop = Workshop(args.output, at_once, estimate, done, seconds)
    workshop.work(wanted.jobs(results))
    return workshop


def _report(wanted: Reproduction) -> None:
    results, args = wanted.results(), wanted.args
    sections = [
        similarity_section(plan, args.datasets or plan.datasets, wanted.sources, args.output)
        if plan.name == "figure2"
        else table_section(
            plan,
            {arm: wanted.configs[arm] for arm in wanted.arms[plan.name]},
            {arm: results[arm] for arm in wanted.arms[plan.name]},
            wanted.left_out(plan),
            args.output,
        )
        for plan in wanted.plans
    ]
    print("\n".join(["", *(section.text for section in sections)]))
    write_text(args.output / COLLECTION, collection(wanted.finished().values()))
    page = _page(args)
    write_text(page, as_page(sections, page.parent, text_of(page)))
    print(f"tables and pictures: {args.output}; all on one page: {page}")


def _page(args: Namespace) -> Path:
    return args.page or args.output / "results.md"


if __name__ == "__main__":
    run_command(main)
