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

EPOCHS = 6
# The last of the seven batches of an epoch has one image; a checkpoint every few steps.
OPTIONS = (
    *("--dataset", "digits", "--model", "resnet8", "--loader", "torch", "--epochs", str(EPOCHS)),
    *("--train-limit", "601", "--batch-size", "100", "--checkpoint-minutes", "0.003"),
)
RESTARTS = 3


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
    victims = workers(launcher)
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
    status, _, err = finish(start(args.processes, *train(base / "undisturbed", OPTIONS)))
    assert status == 0, err
    seconds = json.loads((base / "undisturbed" / "summary.json").read_text())["seconds"]
    print(
        f"undisturbed: {time.monotonic() - begun:.0f} s, {seconds:.1f} s of it training", flush=True
    )
    good = kills = 0
    while kills < args.kills:
        folder = base / f"run{kills}"
        after, later = random.randrange(-1, EPOCHS), random.uniform(0, seconds / EPOCHS)
        launcher = start(args.processes, *train(folder, OPTIONS), max_restarts=RESTARTS)
        hit = kill_one(launcher, folder, after, later)
        status, out, err = finish(launcher)
        if not hit:
            print("a worker was to be killed after its end; again", flush=True)
            folder.rename(base / f"not hit {time.monotonic()}")
            continue
        kills += 1
        problem = f"exit status {status}: {err[-2000:]}" if status else ""
        problem = problem or ", ".join(differences(folder, base / "undisturbed"))
        good += not problem
        went_on = next(
            (line for line in out.splitlines() if line.startswith("resumed")), "begun anew"
        )
        print(
            f"{kills}/{args.kills}: killed {later:.2f} s after epoch {max(0, after)}"
            f"{' began to start' if after < 0 else ''}; {went_on}; {problem or 'the same bits'}  "
            f"{time.monotonic() - begun:.0f} s",
            flush=True,
        )
    print(f"{good} of {kills} runs finished with the bits of the undisturbed one")
    if good < kills:
        raise SystemExit(1)


if __name__ == "__main__":
    run_command(main)
