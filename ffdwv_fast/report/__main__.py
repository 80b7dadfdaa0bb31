"""python -m ffdwv_fast.report: one page on some runs, which needs nothing but a browser."""

from ffdwv_fast.extras import EVERY_RUN, exit_without

if __name__ == "__main__":  # what is imported next needs them
    exit_without(*EVERY_RUN, "jinja2", extra="report")

import os
from pathlib import Path

from ffdwv_fast.atomic_file import replaced_file
from ffdwv_fast.command import ArgumentParser, non_negative_int, run_command
from ffdwv_fast.devices import resolve_device
from ffdwv_fast.errors import InputError
from ffdwv_fast.report.evaluation import with_predictions
from ffdwv_fast.report.page import as_page
from ffdwv_fast.report.runs import grouped, read_runs
from ffdwv_fast.report.section import Report
from ffdwv_fast.report.svg import Pictures


def parser() -> ArgumentParser:
    """The command's options."""
    p = ArgumentParser(prog="python -m ffdwv_fast.report", description=__doc__)
    p.add_argument(
        "runs",
        type=Path,
        nargs="+",
        metavar="RUN",
        help="folder of a run, finished or not, or of --seeds; runs that differ in the seed alone "
        "are put together",
    )
    p.add_argument(
        "-o", "--output", type=Path, default=Path("report.html"), metavar="FILE", help="the page"
    )
    p.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="where data sets are (default: where each run had them); nothing is downloaded",
    )
    p.add_argument(
        "--no-images",
        action="store_true",
        help="leave out what needs the images: confusions, errors by class, mistakes, calibration",
    )
    p.add_argument(
        "--mistakes",
        type=non_negative_int,
        default=16,
        metavar="N",
        help="how many of the worst mistakes to show of each configuration",
    )
    p.add_argument(
        "--device", default="auto", help="auto (a GPU if there is one), cpu, cuda or cuda:N"
    )
    return p


def main(argv: list[str] | None = None) -> None:
    """Write the page."""
    args = parser().parse_args(argv)
    _refuse_unwritable(args.output)  # before minutes of computing
    device = resolve_device(args.device, option="--device")
    runs = read_runs(args.runs)
    if not args.no_images:
        runs = with_predictions(runs, device, args.data_dir)
    groups, notes = grouped(runs)
    page = as_page(Report(groups, notes, Pictures(), args.mistakes)).encode()
    try:
        with replaced_file(args.output) as stream:
            stream.write(page)
    except OSError as error:
        raise InputError(f"{args.output} cannot be written: {error}") from error
    print(f"wrote {args.output} ({len(page) / 1e6:.1f} MB): open it in a browser")


def _refuse_unwritable(path: Path) -> None:
    if path.is_dir():
        raise InputError(f"--output {path} is a folder: give a file")
    if not path.parent.is_dir():
        raise InputError(f"--output {path}: the folder {path.parent} does not exist; make it first")
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"--output {path}: the folder {path.parent} cannot be written to")


if __name__ == "__main__":
    run_command(main)
