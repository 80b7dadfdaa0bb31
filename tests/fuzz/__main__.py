"""Coverage-guided fuzzing of every reader of files.

    python -m tests.fuzz --target all --inputs 1000000

An input must give a correct result or an InputError of one line. Anything else is a finding:
another exception, a wrong result, a crash, a hang, growth of memory. The input is then saved, and

    python -m tests.fuzz --target NAME --reproduce FILE

reads it again. Exit status: 0 nothing found, 1 something found or interrupted, 2 bad arguments.
"""

import argparse
import contextlib
import io
import sys
import tempfile
import time
import traceback
from pathlib import Path

INSTRUMENTED = ["ffdwv_fast", "gensim.models._fasttext_bin", "tests.fuzz.planted"]
_SHOW_EVERY_SECONDS = 5


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    try:
        import atheris
    except ImportError:
        print("error: atheris is not installed: pip install -e '.[dev]'", file=sys.stderr)
        return 2
    quiet = contextlib.redirect_stderr(io.StringIO())  # atheris names every module there
    with quiet, atheris.instrument_imports(include=INSTRUMENTED):
        import gensim.models._fasttext_bin  # noqa: F401

        from tests.fuzz.registry import PLANTED, TARGETS
    parser = _parser(list(TARGETS))
    args = parser.parse_args(arguments)
    targets = TARGETS | PLANTED
    names = list(TARGETS) if args.target == "all" else args.target.split(",")
    if unknown := [name for name in names if name not in targets]:
        parser.error(f"target {', '.join(unknown)}: expected all or some of {', '.join(targets)}")
    chosen = {name: targets[name] for name in names}
    if args.reproduce is not None:
        return _reproduce(chosen, args.reproduce.read_bytes())
    return _run_all(chosen, args)


def _parser(names: list[str]) -> argparse.ArgumentParser:
    description, _, _ = __doc__.partition("\n")
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=description)
    add = parser.add_argument
    add("--target", default="all", help=f"all, or some of {','.join(names)}")
    add("--inputs", type=int, default=100_000, help="of all targets together (default: 100,000)")
    add("--seconds", type=float, default=86_400, help="of all targets together (default: a day)")
    add("--corpus", type=Path, metavar="DIR", help="keeps inputs for the next time")
    add("--findings", type=Path, metavar="DIR", default=Path("build/fuzz"))
    add("--hang-seconds", type=int, default=5, help="most processor time of one input")
    add("--seed", type=int, default=1, help="of the mutations, 1 or more")
    add("--reproduce", type=Path, metavar="FILE", help="read one input and show what comes of it")
    return parser


def _run_all(chosen: dict, args: argparse.Namespace) -> int:
    from tests.fuzz.campaign import Campaign
    from tests.fuzz.judge import Budget

    share = len(chosen)
    budget = Budget(max(1, args.inputs // share), args.seconds / share, args.hang_seconds)
    with tempfile.TemporaryDirectory(prefix="corpus-") as temporary:
        corpus = args.corpus or Path(temporary)
        results = [
            _run(Campaign(name, make, budget, corpus / name, args.findings, args.seed))
            for name, make in chosen.items()
        ]
    inputs, seconds, found = (sum(column) for column in zip(*results, strict=True))
    rate = inputs / max(seconds, 1e-9)
    print(
        f"all: {inputs:,} inputs in {seconds:.0f} s, {rate:,.0f}/s, {found} of {share} targets "
        "with a finding"
    )
    return int(found > 0)


def _run(campaign) -> tuple[int, float, bool]:
    """Inputs, seconds, and whether something is found."""
    from tests.fuzz.campaign import Progress, run

    last, shown, files = Progress(0, 0.0, 0.0), time.monotonic(), None
    for step in run(campaign):
        if isinstance(step, Progress):
            last = step
            if time.monotonic() - shown >= _SHOW_EVERY_SECONDS:
                shown = time.monotonic()
                print(f"{campaign.name}: {_progress(last, campaign.budget)}", flush=True)
        else:
            files = step
    rate = last.inputs / max(last.seconds, 1e-9)
    end = "nothing found" if files is None else f"FOUND, see {campaign.log}"
    print(
        f"{campaign.name}: {last.inputs:,} inputs, {rate:,.0f}/s, memory {last.growth_mb:+.1f} MB: "
        f"{end}{''.join(f' {file}' for file in files or ())}",
        flush=True,
    )
    return last.inputs, last.seconds, files is not None


def _progress(at, budget) -> str:
    rate = at.inputs / max(at.seconds, 1e-9)
    left = min((budget.inputs - at.inputs) / max(rate, 1e-9), budget.seconds - at.seconds)
    return f"{at.inputs:,} of {budget.inputs:,} inputs, {rate:,.0f}/s, {left:.0f} s left"


def _reproduce(chosen: dict, data: bytes) -> int:
    from tests.fuzz.judge import judge

    found = 0
    for name, make in chosen.items():
        with tempfile.TemporaryDirectory() as folder:
            target = make(Path(folder))
            try:
                judge(target, data)
            except Exception:  # whatever it is, it is what was looked for
                traceback.print_exc()
                found = 1
            else:
                print(f"{name}: nothing found")
    return found


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted")
