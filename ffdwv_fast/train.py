"""python -m ffdwv_fast.train: train a network with word-vector soft labels, or without."""

from ffdwv_fast.extras import EVERY_RUN, exit_without

if __name__ == "__main__":  # what is imported next needs them
    exit_without(*EVERY_RUN)

import json
import shlex
import sys
from argparse import Namespace
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from dataclasses import replace
from pathlib import Path

import torch

from ffdwv_fast.command import (
    run_command,
)
from ffdwv_fast.data.registry import (
    class_names_of,
    load_dataset,
    resolve_dataset,
)
from ffdwv_fast.devices import resolve_device
from ffdwv_fast.engine import distributed
from ffdwv_fast.engine.json_file import read_object, write_json
from ffdwv_fast.engine.log import tell
from ffdwv_fast.engine.precision import AUTO
from ffdwv_fast.engine.run import run
from ffdwv_fast.engine.run_folder import (
    COMMAND,
    default_path,
    refuse_another_run,
    refuse_if_taken,
)
from ffdwv_fast.engine.run_images import record_of
from ffdwv_fast.engine.seeds import run_seeds, seed_folder
from ffdwv_fast.engine.stop import Stopped, StopRequest
from ffdwv_fast.errors import InputError
from ffdwv_fast.folder_lock import locked_folder
from ffdwv_fast.training.conclusion import conclusion, conclusion_over_seeds
from ffdwv_fast.training.configuration import (
    config_of,
    reading_of,
    refuse_what_cannot_be,
    similarity_of,
)
from ffdwv_fast.training.options import parser


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    argv = sys.argv[1:] if argv is None else argv
    args = parser().parse_args(argv)
    if args.resume is not None:
        argv, args = _begun_with(args)
    with redirect_stdout(sys.stderr) if args.json else nullcontext():
        out = _run(argv, args)
    if args.json and out is not None:
        summary = read_object(out / "summary.json", "--out", "name another folder")
        print(json.dumps({"folder": str(out), **summary}, indent=2))


def _run(argv: list[str], args: Namespace) -> Path | None:
    """Train, perhaps as one of several processes; the first one gets the results' folder."""
    started = distributed.launch()
    first = started is None or started.rank == 0
    if _is_finished_already(args):
        if first:
            print(f"the run in {args.out} has finished")
        return args.out if first else None
    device = resolve_device(args.device, option="--device")
    with distributed.joined(device):
        out = _train(argv, args, device)
    return out if first else None


def _train(argv: list[str], args: Namespace, device: torch.device) -> Path:
    """Train, together with the processes that have joined; the folder of the results."""
    if args.out is not None:
        refuse_if_taken(args.out)
    refuse_what_cannot_be(args, device)  # before anything is loaded
    name, message = resolve_dataset(args.dataset, args.data_dir)
    if message:
        print(message, flush=True)
    # Before images are read, which may take long: words may be missing.
    similarity = similarity_of(args, class_names_of(name, args.data_dir))
    dataset = load_dataset(name, args.data_dir, reading_of(args, device))
    if args.train_limit is not None:
        dataset = dataset.limit_train(args.train_limit)
    if args.validation is not None:
        dataset.hold_out(args.validation, args.seed)  # refuses what leaves nothing to train on
    config = config_of(args, name, similarity, device, record_of(dataset))
    if args.amp == AUTO and config.amp == "off":
        print("--amp: off, since this CPU would emulate bf16; --amp bf16 forces it", flush=True)
    matrix = similarity.matrix
    out = distributed.of_first(args.out or default_path(config, args.seeds or [args.seed]))
    refuse_another_run(out, config)
    for seed in args.seeds or ():
        refuse_another_run(seed_folder(out, seed), replace(config, seed=seed))
    distributed.barrier()  # what the others have looked at is not what the first writes now
    stop = StopRequest()
    try:
        with _kept_to_first(out), stop.listening():
            if distributed.is_first():
                _keep_command(argv, out)
            if args.seeds is None:
                tell(conclusion(run(config, dataset, matrix, out, stop), out), sys.stdout)
            else:
                summary = run_seeds(config, args.seeds, dataset, matrix, out, stop)
                tell(conclusion_over_seeds(summary, out), sys.stdout)
    except Stopped as stopped:
        if distributed.is_first():
            command = f"{_program()} -m ffdwv_fast.train --resume {shlex.quote(str(out))}"
            tell(f"{stopped}; go on with: {command}", sys.stderr)
        raise SystemExit(128 + stopped.signal) from None
    return out


def _kept_to_first(out: Path) -> AbstractContextManager[None]:
    """Keeps the folder to these processes, for which the first one asks."""
    if not distributed.is_first():
        return nullcontext()
    return locked_folder(out, "--out", "wait for it, or name another folder")


def _is_finished_already(args: Namespace) -> bool:
    """Whether torchrun has restarted processes whose run had finished.

    Raises:
        InputError: torchrun would restart processes that would not find their run.
    """
    restarts, most = distributed.restarts()
    if most and args.out is None:
        raise InputError(
            f"torchrun --max-restarts {most} needs --out DIR, where a restarted process finds the "
            "run; name one"
        )
    return restarts > 0 and (args.out / "summary.json").exists()


def _program() -> str:
    processes = distributed.world_size()
    return "python" if processes == 1 else f"torchrun --nproc-per-node {processes}"


def _begun_with(args: Namespace) -> tuple[list[str], Namespace]:
    """The arguments that the run to resume was begun with, and what they mean."""
    folder = args.resume
    if args != parser().parse_args(["--resume", str(folder), *(["--json"] if args.json else [])]):
        raise InputError(
            f"--resume {folder} takes no other options but --json: it goes on with those that the "
            "run was begun with; leave the others out"
        )
    try:
        argv = json.loads((folder / COMMAND).read_text())
        if not isinstance(argv, list) or not all(isinstance(word, str) for word in argv):
            raise ValueError("it is no list of arguments")
    except (OSError, ValueError) as error:
        raise InputError(
            f"--resume {folder}: its {COMMAND} cannot be read ({error}); name the folder of a run "
            "that has not finished"
        ) from None
    begun = parser().parse_args(argv)
    begun.out, begun.json = folder, args.json
    return argv, begun


def _keep_command(argv: Sequence[str], out: Path) -> None:
    """For --resume."""
    try:
        write_json(out / COMMAND, argv)
    except OSError as error:
        raise InputError(
            f"--out {out}: cannot be written ({error.strerror}); name another folder"
        ) from error


if __name__ == "__main__":
    run_command(main)
