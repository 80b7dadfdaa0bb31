"""What goes wrong while a run goes on: nothing saved is lost, and it is said what to do."""

import errno
import io
import json
import signal
import sys
from dataclasses import replace

import pytest
import torch

from ffdwv_fast import InputError
from ffdwv_fast.data.loader import LOADERS
from ffdwv_fast.engine import run as run_module
from ffdwv_fast.engine import run_folder
from ffdwv_fast.engine.run import Run
from ffdwv_fast.engine.run_folder import CHECKPOINT, RunFolder
from ffdwv_fast.engine.step_body import StepBody
from ffdwv_fast.engine.step_graph import Recorder
from ffdwv_fast.engine.stop import Stopped, StopRequest
from tests.engine.resident import ResidentLoader, small_dataset
from tests.engine.steps import Training, differences, make_similarity
from tests.engine.stopping import EVENTS, StopAfter, start
from tests.engine.test_parts import CONFIG
from tests.engine.test_trainer import KINDS, make_trainer
from tests.little_disk import little_disk
from tests.reliability.left import left_by

BASE = replace(CONFIG, loader="resident", batch_size=8, epochs=3)
ROOM = 100_000  # bytes: too few for weights and checkpoints, enough for the rest


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    monkeypatch.setitem(LOADERS, "resident", ResidentLoader)
    monkeypatch.setattr(run_module, "CudaGraphRecorder", lambda device: Recorder())
    monkeypatch.setattr(run_folder, "draw_curves", lambda *_: None)


@pytest.fixture
def whole(tmp_path):
    """What the base run leaves when nothing goes wrong."""
    start(BASE, tmp_path / "whole")
    return left_by(tmp_path / "whole")


def begin(out, events: int, stop: StopRequest | None = None):
    """A run after so many events, and what takes the next ones."""
    run = Run(BASE, small_dataset(), make_similarity(), out, stop=stop)
    steps = run.steps()
    for _ in range(events):
        next(steps)
    return run, steps


def spoil(run: Run) -> None:
    with torch.no_grad():
        run.trainer.model.fc.bias[0] = torch.nan


def checkpoint_of(out) -> tuple[int, int]:
    """The epoch and the step that it would go on from."""
    _, state = RunFolder(out, BASE).checkpoint()
    return state["training"]["epoch"], state["training"]["batch"]


@pytest.mark.parametrize("at_once", [True, False], ids=["every step", "every epoch"])
def test_a_loss_that_is_not_finite_is_named_and_the_checkpoint_before_kept(
    at_once, tmp_path, whole
):
    run, steps = begin(tmp_path / "run", EVENTS + 1)
    run.trainer.check_every_step = at_once
    spoil(run)
    step = "at step 2" if at_once else "by step 3"
    message = rf"^the training loss became nan {step} of epoch 2 at learning rate 0\.1; try a lower"
    with pytest.raises(InputError, match=message):
        list(steps)
    assert checkpoint_of(tmp_path / "run") == (1, 0)
    start(BASE, tmp_path / "run")  # without what has spoilt it
    assert left_by(tmp_path / "run") == whole


def test_a_stop_does_not_save_a_loss_that_is_not_finite(tmp_path):
    stop = StopRequest()
    run, steps = begin(tmp_path, EVENTS + 1, stop)
    run.trainer.check_every_step = False
    spoil(run)
    next(steps)
    stop.signal = signal.SIGTERM
    with pytest.raises(InputError, match="became nan by step 3 of epoch 2"):
        next(steps)
    assert checkpoint_of(tmp_path) == (1, 0)


@pytest.fixture
def little_memory(monkeypatch):
    """Sets how many images a step has memory for."""
    original = StepBody.__call__

    def limit(images: int) -> None:
        def call(self, *batch):
            if len(batch[1]) > images:
                raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 3 TiB")
            original(self, *batch)

        monkeypatch.setattr(StepBody, "__call__", call)

    return limit


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize(
    ("fits", "advice"),
    [(7, "--batch-size 4 fits"), (3, "--batch-size 2 fits"), (0, "not even a batch of one image")],
)
def test_where_memory_does_not_suffice_it_says_what_fits(
    little_memory, tmp_path, graph, fits, advice
):
    little_memory(fits)
    with pytest.raises(InputError) as refused:
        start(replace(BASE, cuda_graph=graph), tmp_path)
    message = str(refused.value)
    assert message.startswith("--batch-size 8: the GPU's free memory does not suffice; " + advice)
    assert "\n" not in message


def test_memory_that_runs_out_later_leaves_the_checkpoint(little_memory, tmp_path):
    _, steps = begin(tmp_path, EVENTS + 1)
    little_memory(7)
    with pytest.raises(InputError, match="--batch-size 4 fits"):
        next(steps)
    assert checkpoint_of(tmp_path) == (1, 0)


@KINDS
def test_trying_a_step_leaves_no_trace(kind):
    trainer = make_trainer(kind, amp="bf16", loss_scale=2.0**127)  # it may overflow
    untouched = Training(kind, "bf16", loss_scale=2.0**127)
    trainer.try_step(5)
    tensors = untouched.body.tensors()
    assert differences(trainer.step.body.tensors(), tensors) == []
    assert trainer.step.sums.images == 0
    assert trainer.precision.scaler.state_dict() == untouched.precision.scaler.state_dict()
    copies = zip(trainer.step.body._copies.copies, untouched.body._copies.copies, strict=True)
    assert all(torch.equal(a, b) for a, b in copies)


def test_a_full_disk_leaves_what_was_saved_and_the_run_goes_on(tmp_path, whole, capsys):
    out = tmp_path / "run"
    _, steps = begin(out, EVENTS)
    before = (out / CHECKPOINT).read_bytes()
    with little_disk(ROOM):
        for _ in range(2 * EVENTS):
            next(steps)
    assert (out / CHECKPOINT).read_bytes() == before
    assert not list(out.glob(".*"))
    said = capsys.readouterr().err.splitlines()
    assert (
        said
        == ["warning: no checkpoint was written (File too large); an earlier one, if any, is kept"]
        * 2
    )
    assert len((out / "metrics.jsonl").read_text().splitlines()) == BASE.epochs
    steps.close()
    start(BASE, out)
    assert left_by(out) == whole


def test_a_disk_that_stays_full_ends_in_a_folder_that_can_be_gone_on_with(tmp_path, whole):
    out = tmp_path / "run"
    with pytest.raises(Stopped):
        start(BASE, out, StopAfter(EVENTS))
    message = rf"the results cannot be written \(File too large\); make room .*--resume {out}$"
    with little_disk(ROOM), pytest.raises(InputError, match=message):
        start(BASE, out)
    assert not (out / "summary.json").exists()
    assert checkpoint_of(out) == (1, 0)
    start(BASE, out)
    assert left_by(out) == whole


def test_half_a_checkpoint_is_never_under_its_name(tmp_path):
    with pytest.raises(Stopped), little_disk(ROOM):
        start(BASE, tmp_path, StopAfter(2))
    assert {path.name for path in tmp_path.iterdir()} == {"config.json"}


def test_metrics_that_cannot_be_written_stop_nothing_and_come_later(tmp_path, whole, capsys):
    out = tmp_path / "run"
    run, steps = begin(out, EVENTS - 1)
    (out / "metrics.jsonl").mkdir()
    next(steps)
    assert capsys.readouterr().err == (
        "warning: metrics.jsonl cannot be written (Is a directory); the run goes on\n"
    )
    (out / "metrics.jsonl").rmdir()
    list(steps)
    run.finish()
    assert left_by(out) == whole


def test_half_a_line_of_metrics_is_repaired(tmp_path, whole):
    out = tmp_path / "run"
    run, steps = begin(out, 2 * EVENTS - 1)
    one = (out / "metrics.jsonl").read_bytes()
    with little_disk(len(one) + 20):
        next(steps)
    torn = (out / "metrics.jsonl").read_bytes()
    assert torn.startswith(one)
    assert len(torn) == len(one) + 20
    next(steps)
    list(steps)
    run.finish()
    assert left_by(out) == whole


class FullLog(io.TextIOBase):
    """What stdout is where its file is on a full disk, or its reader has gone."""

    def __init__(self, error: type[OSError]):
        self.error = error

    def write(self, text):
        raise self.error(errno.ENOSPC, "No space left on device")


def test_a_log_that_cannot_be_written_stops_nothing(tmp_path, whole, monkeypatch):
    run, steps = begin(tmp_path / "run", EVENTS - 1)
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, FullLog(OSError))
    with little_disk(ROOM):  # there is something to warn of
        next(steps)
    list(steps)
    run.finish()
    assert left_by(tmp_path / "run") == whole


def test_a_log_that_nobody_reads_any_more_ends_the_run(tmp_path, monkeypatch):
    _, steps = begin(tmp_path, EVENTS - 1)
    monkeypatch.setattr(sys, "stdout", FullLog(BrokenPipeError))
    with pytest.raises(BrokenPipeError):
        next(steps)


def test_a_run_without_its_metrics_is_not_marked_as_finished(tmp_path, whole):
    out = tmp_path / "run"
    run, steps = begin(out, 0)
    (out / "metrics.jsonl").mkdir()
    list(steps)
    with pytest.raises(InputError, match=r"the results cannot be written \(Is a directory\)"):
        run.finish()
    assert not (out / "summary.json").exists()
    (out / "metrics.jsonl").rmdir()
    start(BASE, out)
    assert left_by(out) == whole


def test_a_summary_is_what_json_holds(tmp_path):
    assert start(BASE, tmp_path) == json.loads((tmp_path / "summary.json").read_text())
