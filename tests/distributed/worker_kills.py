"""Runs under torchrun of which a worker is killed: each has to end as one left alone does.

`python -m tests.distributed.worker_kills --kills 20` kills a random worker by SIGKILL at a random
moment, from its start to its last epoch, in each of 20 runs. torchrun starts the workers again, the
run goes on from its checkpoint, and weights and metrics are compared bit for bit with those of a
run of as many processes that nobody disturbed.
"""

import json
import os
import random
import signal
import subprocess
import tempfile
import time
from argparse import Namespace
from pathlib import Path

import torch
from safetensors.torch import load_file

from ffdwv_fast.command import ArgumentParser, non_negative_int, positive_int, run_command
from tests.distributed.launch import finish, start, train, wait_for_epochs, workers

EPOCHS, IMAGES = 4, 601
START = 10.0  # seconds in which the workers begin
# The last of the seven batches of an epoch has one image; a checkpoint every few steps.
OPTIONS = (
    *("--dataset", "digits", "--model", "resnet8", "--loader", "torch", "--epochs", str(EPOCHS)),
    *("--train-limit", str(IMAGES), "--batch-size", "100", "--checkpoint-minutes", "0.003"),
)
RESTARTS = 3
WENT_ON = ("resumed", "the run in")  # how the lines of restarted workers begin


def result(folder: Path) -> tuple[dict[str, torch.Tensor], list[dict]]:
    """A finished run's weights, and its metrics but for the speed."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        del line["images_per_second"]
    assert (folder / "summary.json").exists(), f"{folder} has not finished"
    return load_file(folder / "model.safetensors"), lines


def differences(folder: Path, expected: Path) -> list[str]:
    """In what two runs have not the same bits."""
    (weights, metrics), (other_weights, other_metrics) = result(folder), result(expected)
    assert weights.keys() == other_weights.keys()
    changed = [name for name in weights if not torch.equal(weights[name], other_weights[name])]
    return changed + ["metrics"] * (metrics != other_metrics)


def kill_one(launcher: subprocess.Popen, folder: Path, after: int, later: float) -> bool:
    """Kill a worker some seconds after the run has recorded so many epochs; whether one was there.

    Before the first epoch there is the start: -1 counts from the moment when workers are there.
    """
    if after >= 0:
        wait_for_epochs(launcher, folder, after)
    while launcher.poll() is None and not workers(launcher):
        time.sleep(0.02)
    time.sleep(later)
    victims = workers(launcher) if launcher.poll() is None else []
    if not victims:
        return False
    os.kill(random.choice(victims), signal.SIGKILL)
    return True


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    p = ArgumentParser(prog="python -m tests.distributed.worker_kills", description=__doc__)
    p.add_argument("--kills", type=positive_int, default=20, metavar="N", help="runs")
    p.add_argument("--processes", type=positive_int, default=2, metavar="N", help="of each run")
    p.add_argument("--seed", type=non_negative_int, default=0, help="of the moments")
    args = p.parse_args(argv)
    random.seed(args.seed)
    with tempfile.TemporaryDirectory(prefix="worker-kills-") as folder:
        _kill_often(args, Path(folder))


def _kill_often(args: Namespace, base: Path) -> None:
    begun = time.monotonic()
    expected = base / "undisturbed"
    status, _, err = finish(start(args.processes, *train(expected, OPTIONS)))
    assert status == 0, err
    rate = json.loads((expected / "summary.json").read_text())["images_per_second"]
    print(f"undisturbed: {time.monotonic() - begun:.0f} s", flush=True)
    good = kills = tries = 0
    while kills < args.kills:
        tries += 1
        after = random.randrange(-1, EPOCHS)
        later = random.uniform(0, START if after < 0 else IMAGES / rate)
        said, problem = _kill(args.processes, base / f"run{tries}", expected, after, later)
        if said is None:
            continue  # all had ended before
        kills += 1
        good += not problem
        print(
            f"{kills}/{args.kills}: killed {later:.2f} s after "
            f"{f'epoch {after}' if after >= 0 else 'the workers began'}; {said}; "
            f"{problem or 'the same bits'}  {time.monotonic() - begun:.0f} s",
            flush=True,
        )
    print(f"{good} of {kills} runs finished with the bits of the undisturbed one")
    if good < kills:
        raise SystemExit(1)


def _kill(
    processes: int, folder: Path, expected: Path, after: int, later: float
) -> tuple[str | None, str]:
    """What the restarted workers said first (None: none was killed), and what went wrong."""
    launcher = start(processes, *train(folder, OPTIONS), max_restarts=RESTARTS)
    hit = kill_one(launcher, folder, after, later)
    status, out, err = finish(launcher)
    problem = f"exit status {status}: {err[-2000:]}" if status else ""
    problem = problem or ", ".join(differences(folder, expected))
    said = next((line for line in out.splitlines() if line.startswith(WENT_ON)), "begun anew")
    return said if hit else None, problem


if __name__ == "__main__":
    run_command(main)
