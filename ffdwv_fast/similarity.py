"""Show how similar the classes of a data set are: ``python -m ffdwv_fast.similarity``."""

from ffdwv_fast.extras import exit_without

if __name__ == "__main__":  # what is imported next needs them
    exit_without("numpy")

import csv
import io
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch

from ffdwv_fast.atomic_file import replaced_file
from ffdwv_fast.command import ArgumentParser, run_command
from ffdwv_fast.data.registry import DATASETS, class_names_of
from ffdwv_fast.errors import InputError
from ffdwv_fast.semantics.arguments import (
    SimilarityResult,
    add_similarity_arguments,
    similarity_from_arguments,
)
from ffdwv_fast.semantics.heatmap import draw_heatmap

MOST_CLASSES_PRINTED = 20
PLOT_SUFFIXES = (".png", ".pdf", ".svg")
SAVE_SUFFIXES = (".npz", ".csv")


def main(argv: list[str] | None = None) -> None:
    """Print S, and draw and save it where asked to."""
    args = _parser().parse_args(argv)
    for option, path, suffixes in (
        ("--plot", args.plot, PLOT_SUFFIXES),
        ("--save", args.save, SAVE_SUFFIXES),
    ):
        _check_output(option, path, suffixes)
    result = similarity_from_arguments(args, _class_names(args))
    print(describe(result))
    if args.plot:
        _write(args.plot, lambda stream: _plot(stream, args.plot, result))
    if args.save:
        _write(args.save, _SAVERS[args.save.suffix](result))


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="python -m ffdwv_fast.similarity", description=__doc__)
    classes = parser.add_argument_group("classes")
    classes.add_argument(
        "--dataset",
        choices=DATASETS,
        help="whose class names; cifar10 where neither this nor --classes is given; folder: those "
        "of the class folders in --data-dir",
    )
    classes.add_argument(
        "--data-dir",
        type=Path,
        default=Path("data"),
        metavar="DIR",
        help="the folder of images of --dataset folder",
    )
    classes.add_argument(
        "--classes",
        metavar="A,B,C",
        help="these classes only: some of --dataset, or any names where that is not given "
        "(default: all of --dataset)",
    )
    output = parser.add_argument_group("output")
    output.add_argument("--plot", type=Path, metavar="FILE.png", help="draw S (png, pdf or svg)")
    output.add_argument("--save", type=Path, metavar="FILE", help="write S as .npz or .csv")
    add_similarity_arguments(parser)
    return parser


def _class_names(args: Namespace) -> tuple[str, ...]:
    if args.classes is None:
        return class_names_of(args.dataset or "cifar10", args.data_dir)
    names = tuple(name.strip() for name in args.classes.split(","))
    if args.dataset is not None:
        known = class_names_of(args.dataset, args.data_dir)
        unknown = [name for name in names if name not in known]
        if unknown:
            raise InputError(
                f"--classes: {', '.join(map(repr, unknown))} not among the classes of "
                f"{args.dataset}: {', '.join(known)}; leave --dataset out for any names"
            )
    return names


def _check_output(option: str, path: Path | None, suffixes: tuple[str, ...]) -> None:
    if path is None:
        return
    if path.suffix not in suffixes:
        raise InputError(f"{option} {path}: the name must end in {' or '.join(suffixes)}")
    if path.is_dir():
        raise InputError(f"{option} {path} is a folder: give a file")
    if not path.parent.is_dir():
        raise InputError(f"{option} {path}: the folder {path.parent} does not exist; make it first")


def describe(result: SimilarityResult) -> str:
    """S, or a line per class where it is too large to read, and its figures.

    Args:
        result: From :func:`similarity_from_arguments`.
    """
    few = len(result.names) <= MOST_CLASSES_PRINTED
    lines = _matrix_lines(result) if few else _nearest_lines(result)
    return "\n".join([*lines, "", *_figures(result)])


def _matrix_lines(result: SimilarityResult) -> list[str]:
    label = max(map(len, result.names))
    widths = [max(len(name), 6) for name in result.names]
    pairs = list(zip(result.names, widths, strict=True))
    lines = [" ".join([" " * label, *(f"{name:>{width}}" for name, width in pairs)])]
    for name, row in zip(result.names, result.matrix.tolist(), strict=True):
        cells = (f"{value:>{width}.4f}" for value, width in zip(row, widths, strict=True))
        lines.append(" ".join([f"{name:<{label}}", *cells]))
    return lines


def _nearest_lines(result: SimilarityResult) -> list[str]:
    label = max(map(len, result.names))
    lines = [f"{'class':<{label}}  itself  nearest classes"]
    others = result.matrix.clone().fill_diagonal_(-1)
    top = others.topk(3)
    for row, name in enumerate(result.names):
        found = zip(top.indices[row].tolist(), top.values[row].tolist(), strict=True)
        near = "".join(
            f"  {result.names[j] + ' ' + format(s, '.4f'):<{label + 7}}" for j, s in found
        )
        lines.append(f"{name:<{label}}  {float(result.matrix[row, row]):.4f}{near}".rstrip())
    return lines


def _figures(result: SimilarityResult) -> list[str]:
    count = len(result.names)
    lines = [
        f"classes           {count}",
        f"word vectors      {result.source}, {result.vectors.shape[1]} dimensions",
        f"metric            {result.metric}",
        f"temperature       {result.temperature:.6g}",
        f"mean diagonal     {float(result.matrix.diagonal().double().mean()):.4f}",
    ]
    if count > 1:
        off_diagonal = result.distances[~torch.eye(count, dtype=torch.bool)]
        mean, low, high = (float(f(off_diagonal)) for f in (torch.mean, torch.min, torch.max))
        lines.append(f"distances         mean {mean:.4f}, min {low:.4f}, max {high:.4f}")
    return lines


def _plot(stream: BinaryIO, path: Path, result: SimilarityResult) -> None:
    title = (
        f"Soft targets from {Path(result.source).name}\n"
        f"{result.metric} distance, temperature {result.temperature:.4g}"
    )
    draw_heatmap(stream, path.suffix[1:], result.matrix, result.names, title)


def _write(path: Path, write: Callable[[BinaryIO], None]) -> None:
    try:
        with replaced_file(path) as stream:
            write(stream)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error}") from error
    print(f"wrote {path}")


def _npz_writer(result: SimilarityResult) -> Callable[[BinaryIO], None]:
    return lambda stream: np.savez(
        stream,
        similarity=result.matrix.numpy(),
        distances=result.distances.numpy(),
        class_names=np.array(result.names),
        metric=result.metric,
        temperature=result.temperature,
        source=result.source,
    )


def _csv_writer(result: SimilarityResult) -> Callable[[BinaryIO], None]:
    def write(stream: BinaryIO) -> None:
        text = io.StringIO(newline="")
        table = csv.writer(text)
        table.writerow(["class", *result.names])
        # Nine digits tell every float32 apart.
        for name, row in zip(result.names, result.matrix.tolist(), strict=True):
            table.writerow([name, *(f"{value:.9g}" for value in row)])
        stream.write(text.getvalue().encode())

    return write


_SAVERS = {".npz": _npz_writer, ".csv": _csv_writer}


if __name__ == "__main__":
    run_command(main)
