"""A run that is stopped and gone on with is the run that never stopped, to the bit."""

import json
import random
import shutil
import signal
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ffdwv_fast import InputError
from ffdwv_fast.data.image_op import why_not_on
from ffdwv_fast.data.loader import LOADERS, Batch
from ffdwv_fast.engine import run as run_module
from ffdwv_fast.engine import run_folder, seeds
from ffdwv_fast.engine.random_state import random_state
from ffdwv_fast.engine.run import Run
from ffdwv_fast.engine.run_folder import CHECKPOINT, RunFolder
from ffdwv_fast.engine.seeds import run_seeds
from ffdwv_fast.engine.speedups import SPEEDUPS
from ffdwv_fast.engine.step_graph import Recorder
from ffdwv_fast.engine.stop import Stopped, StopRequest
from ffdwv_fast.engine.tensor_file import read_tensors, write_tensors
from tests.engine.resident import ResidentLoader, small_dataset
from tests.engine.steps import make_similarity
from tests.engine.stopping import EVENTS, StopAfter, run_in_parts, start
from tests.engine.test_parts import CONFIG
from tests.engine.test_trainer import KINDS, Silent, make_trainer
from tests.reliability.left import left_by

BASE = replace(CONFIG, loader="resident", batch_size=8)
TEACHER = {"model": "resnet8", "file": None, "temperature": 4.0}
SETTINGS = {
    "ffdwv": {},
    "two networks": {"method": "dml"},
    "a teacher": {"method": "kd", "teacher": TEACHER},
    "drawn by the seed": {"method": "ffdwv-permuted"},
    "a soft-weight schedule": {"epochs": 3, "soft_weight_schedule": "cosine"},
    "validation": {"validation": 10},
    "evaluation now and then": {"epochs": 3, "evaluate_every": 2},
    "bf16 and weight copies": {"amp": "bf16"},
    "recorded steps": {"cuda_graph": True, "amp": "bf16"},
    "no speed-ups": {"without": tuple(SPEEDUPS), "epochs": 3},
}


class NoisyLoader(ResidentLoader):
    """Draws from every global random generator of a CPU for each batch to train on."""

    def _batches(self, plan):
        for images, labels in super()._batches(plan):
            if self.augment:
                images = images + torch.rand(()) + np.random.normal() + random.gauss(0, 1)
            yield Batch(images, labels)


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    monkeypatch.setitem(LOADERS, "resident", ResidentLoader)
    monkeypatch.setitem(LOADERS, "noisy", NoisyLoader)
    monkeypatch.setattr(run_module, "CudaGraphRecorder", lambda device: Recorder())
    monkeypatch.setattr(run_folder, "draw_curves", lambda *_: None)  # a second each


@pytest.fixture
def whole(tmp_path):
    """What the base run leaves when nothing stops it."""
    start(BASE, tmp_path / "whole")
    return left_by(tmp_path / "whole")


@pytest.mark.parametrize("options", SETTINGS.values(), ids=SETTINGS)
def test_a_run_that_is_stopped_and_gone_on_with_has_the_same_bits(options, tmp_path):
    config = replace(BASE, teacher_dir=str(tmp_path / "teachers"), **options)
    start(config, tmp_path / "whole")
    run_in_parts(config, tmp_path / "parts", 1, 2, 1, 2)  # mid-epoch, before its end, at it
    whole = left_by(tmp_path / "whole")
    assert left_by(tmp_path / "parts") == whole
    assert len(whole["metrics"]) == config.epochs


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(events=st.lists(st.integers(1, 2 * EVENTS), max_size=5))
def test_however_often_and_wherever_it_stops(whole, tmp_path, events):
    out = tmp_path / "parts"
    shutil.rmtree(out, ignore_errors=True)
    run_in_parts(BASE, out, *events)
    assert left_by(out) == whole


@pytest.mark.parametrize("loader", ["torch", "gpu", "dali"])
def test_each_loader_goes_on_where_it_was(loader, tmp_path):
    if loader == "dali":
        pytest.importorskip("nvidia.dali")
    if loader == "gpu" and why_not_on(torch.device("cpu")) is not None:
        pytest.skip(why_not_on(torch.device("cpu")))
    config = replace(BASE, loader=loader)
    start(config, tmp_path / "whole")
    run_in_parts(config, tmp_path / "parts", 2, 1, 2)  # the second stop leaves no batch of an epoch
    assert left_by(tmp_path / "parts") == left_by(tmp_path / "whole")


def test_every_random_generator_goes_on_where_it_was(tmp_path):
    config = replace(BASE, loader="noisy")

    def reseed(seed: int) -> None:
        random.seed(seed)
        np.random.seed(seed)

    reseed(1)
    start(config, tmp_path / "whole")
    reseed(1)
    with pytest.raises(Stopped):
        start(config, tmp_path / "parts", StopAfter(2))
    reseed(2)
    run_in_parts(config, tmp_path / "parts", 3)
    assert left_by(tmp_path / "parts") == left_by(tmp_path / "whole")


def test_a_run_that_ended_before_its_first_checkpoint_begins_again(tmp_path, whole):
    out = tmp_path / "run"
    steps = Run(BASE, small_dataset(), make_similarity(), out).steps()
    next(steps)
    steps.close()
    assert not (out / CHECKPOINT).exists()
    start(BASE, out)
    assert left_by(out) == whole


def test_metrics_of_an_epoch_that_no_checkpoint_has_are_written_again(tmp_path, whole):
    out = tmp_path / "run"
    with pytest.raises(Stopped):
        start(BASE, out, StopAfter(2))
    (out / "metrics.jsonl").write_text('{"epoch": 1, "lr": 0.')  # killed while it wrote this
    run_in_parts(BASE, out, 1)
    assert left_by(out) == whole


def test_a_run_that_only_lacks_its_results_gets_them(tmp_path, whole, capsys):
    with pytest.raises(Stopped):
        start(BASE, tmp_path / "run", StopAfter(2 * EVENTS))
    assert not (tmp_path / "run" / "summary.json").exists()
    start(BASE, tmp_path / "run")
    assert "resumed after 2 epochs\n" in capsys.readouterr().out
    assert left_by(tmp_path / "run") == whole


def test_what_a_write_that_was_killed_has_left_is_removed(tmp_path):
    with pytest.raises(Stopped):
        start(BASE, tmp_path, StopAfter(2))
    (tmp_path / f".{CHECKPOINT}.0123.part").write_bytes(bytes(1000))
    start(BASE, tmp_path)
    assert not list(tmp_path.glob(".*"))


@KINDS
def test_the_loss_scale_and_what_it_skips_go_on(kind, tmp_path):
    def make():
        # The first steps overflow and halve it; two in a row that do not double it.
        trainer = make_trainer(kind, epochs=3, amp="bf16", loss_scale=2.0**127)
        trainer.precision.scaler.set_growth_interval(2)
        with torch.no_grad():
            trainer.model.fc.weight.mul_(5)
        return trainer

    whole = make()
    expected = [r._asdict() for r in whole.train(Silent()) if r is not None]
    records, scales, state = [], [], None
    for _ in range(3 * EVENTS):
        trainer = make()
        if state is not None:
            trainer.load(*state)
        record = next(trainer.train(Silent()))
        if record is not None:
            records.append(record._asdict())
        scales.append(trainer.precision.scaler.get_scale())
        write_tensors(tmp_path / "state", *trainer.state())
        state = read_tensors(tmp_path / "state", "--out")
    for record in (*expected, *records):
        del record["images_per_second"]
    assert records == expected
    # Where the doubled scale overflows again depends on the processor's rounding.
    assert records[0]["skipped_steps"] > 0
    assert min(scales) < 2.0**127  # halved
    assert any(after == 2 * before for before, after in pairwise(scales))  # and doubled again
    assert trainer.precision.scaler.state_dict() == whole.precision.scaler.state_dict()
    tensors = whole.state()[0]
    assert all(torch.equal(state[0][name], tensor) for name, tensor in tensors.items())


def test_seeds_stopped_in_the_second_go_on_there(tmp_path):
    run_seeds(BASE, (3, 4), small_dataset(), make_similarity(), tmp_path / "whole")
    out = tmp_path / "parts"
    stop = StopAfter(2 * EVENTS + 3)
    with pytest.raises(Stopped):
        run_seeds(BASE, (3, 4), small_dataset(), make_similarity(), out, stop)
    first = {path: path.stat().st_mtime_ns for path in (out / "seed3").iterdir()}
    assert (out / "seed3" / "summary.json") in first
    assert not (out / "summary.json").exists()
    run_seeds(BASE, (3, 4), small_dataset(), make_similarity(), out)
    assert {path: path.stat().st_mtime_ns for path in (out / "seed3").iterdir()} == first
    for seed in ("seed3", "seed4"):
        assert left_by(out / seed) == left_by(tmp_path / "whole" / seed)


def test_runs_that_take_turns_are_all_saved(tmp_path):
    def turns(out, stop=None):
        data = small_dataset(), make_similarity()
        seeds._in_turns(BASE, (3, 4), *data, out, stop or StopRequest())

    def training(seed):
        state = read_tensors(tmp_path / "parts" / seed / CHECKPOINT, "--out")[1]["training"]
        return state["batch"], state["epoch_seconds"]

    turns(tmp_path / "whole")
    with pytest.raises(Stopped):
        turns(tmp_path / "parts", StopAfter(4))
    before = training("seed4")
    assert (training("seed3")[0], before[0]) == (2, 2)
    with pytest.raises(Stopped):
        turns(tmp_path / "parts", StopAfter(1))  # the second has no turn
    after = training("seed4")
    assert (training("seed3")[0], after[0]) == (3, 2)
    assert before[1] <= after[1] < before[1] + 60
    turns(tmp_path / "parts")
    for seed in ("seed3", "seed4"):
        assert left_by(tmp_path / "parts" / seed) == left_by(tmp_path / "whole" / seed)


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"lr": 0.2}, r"\(lr 0.1 there, 0.2 here\)"),
        ({"seed": 8, "epochs": 3}, r"\(epochs 2 there, 3 here, seed 7 there, 8 here\)"),
        ({"without": ("fused-optimizer",)}, r"without \[\] there, \['fused-optimizer'\] here"),
        ({"similarity": {"temperature": 2.0}}, r"similarity None there, \{'temperature': 2.0\}"),
    ],
    ids=["rate", "two", "speed-ups", "similarity"],
)
def test_another_configuration_is_refused_and_changes_nothing(change, difference, tmp_path):
    with pytest.raises(Stopped):
        start(BASE, tmp_path, StopAfter(2))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(InputError, match=difference):
        start(replace(BASE, **change), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_what_changes_no_bit_may_change(tmp_path, whole):
    with pytest.raises(Stopped):
        start(BASE, tmp_path / "run", StopAfter(2))
    start(replace(BASE, data_dir="elsewhere", checkpoint_minutes=1e-6), tmp_path / "run")
    assert left_by(tmp_path / "run") == whole


def test_finished_runs_of_seeds_are_left_alone(tmp_path):
    first = run_seeds(BASE, (3,), small_dataset(), make_similarity(), tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")}
    assert run_seeds(BASE, (3,), small_dataset(), make_similarity(), tmp_path) == first
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")} == before


def test_a_folder_of_seeds_takes_more_of_them(tmp_path):
    run_seeds(BASE, (3,), small_dataset(), make_similarity(), tmp_path)
    before = (tmp_path / "seed3" / "summary.json").stat().st_mtime_ns
    both = run_seeds(BASE, (3, 4), small_dataset(), make_similarity(), tmp_path)
    assert (tmp_path / "seed3" / "summary.json").stat().st_mtime_ns == before
    errors = [
        json.loads((tmp_path / f"seed{seed}" / "summary.json").read_text())["test_error"]
        for seed in (3, 4)
    ]
    assert both["test_error"]["mean"] == pytest.approx(sum(errors) / 2)


@pytest.fixture
def stopped(tmp_path):
    """A folder with a run that was stopped, and what its checkpoint holds."""
    out = tmp_path / "stopped"
    with pytest.raises(Stopped):
        start(BASE, out, StopAfter(EVENTS + 1))
    return RunFolder(out, BASE), RunFolder(out, BASE).checkpoint()


@pytest.fixture
def saved(tmp_path):
    """A folder with a checkpoint of everything but a large network."""
    drawn, random_states = random_state(torch.device("cpu"))
    folder = RunFolder(tmp_path / "saved", BASE)
    tensors = {"model.weight": torch.randn(30, 10), "sums": torch.rand(5).double(), **drawn}
    folder.save_checkpoint(tensors, {"training": {"epoch": 1}, "random": random_states})
    return folder, folder.checkpoint()


def read_damaged(folder: RunFolder, content: bytes):
    """The checkpoint with that content, None where it is refused as it should be."""
    (folder.path / CHECKPOINT).write_bytes(content)
    try:
        return folder.checkpoint()
    except InputError as error:
        message = str(error)
    assert CHECKPOINT in message
    assert message.endswith("; remove it, and the run begins anew")
    assert "\n" not in message
    return None


def test_a_checkpoint_cut_short_is_refused(saved):
    folder, _ = saved
    content = (folder.path / CHECKPOINT).read_bytes()
    lengths = np.random.default_rng(0).integers(0, len(content), 50)
    assert [read_damaged(folder, content[:n]) for n in (*lengths, 0, 7, 8, len(content) - 1)] == [
        None
    ] * 54


@pytest.mark.parametrize("part", ["header", "file"])
def test_a_checkpoint_with_another_byte_is_refused_or_read_as_it_was(saved, part):
    folder, (tensors, state) = saved
    content = bytearray((folder.path / CHECKPOINT).read_bytes())
    size = 8 + int.from_bytes(content[:8], "little") if part == "header" else len(content)
    generator = np.random.default_rng(1)
    refused = 0
    for _ in range(500):
        place, change = int(generator.integers(size)), int(generator.integers(1, 256))
        content[place] ^= change
        found = read_damaged(folder, content)
        content[place] ^= change
        if found is None:
            refused += 1
            continue
        assert found[1] == state
        assert found[0].keys() == tensors.keys()
        assert all(torch.equal(found[0][name], tensor) for name, tensor in tensors.items())
    assert refused > 490  # what is left are the blanks that fill the header up


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors, state: tensors.pop("sums"), "of another version or network"),
        (lambda tensors, state: tensors.pop("random.torch"), "of another version or network"),
        (lambda tensors, state: state.pop("training"), "of another version or network"),
        (lambda tensors, state: state["epochs"][0].pop("lr"), "of another version or network"),
        (lambda tensors, state: state.clear(), "is damaged"),
    ],
    ids=["tensor", "generator", "training", "epoch", "state"],
)
def test_a_checkpoint_that_lacks_something_is_refused(stopped, change, message):
    folder, (tensors, state) = stopped
    change(tensors, state)
    write_tensors(folder.path / CHECKPOINT, tensors, state)
    with pytest.raises(InputError, match=message):
        start(BASE, folder.path)


@pytest.mark.parametrize("name", ["config.json", "summary.json"])
@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff"], ids=repr)
def test_a_damaged_json_file_of_a_finished_seed_is_named(name, content, tmp_path):
    run_seeds(BASE, (3,), small_dataset(), make_similarity(), tmp_path)
    (tmp_path / "summary.json").unlink()
    (tmp_path / "seed3" / name).write_bytes(content)
    with pytest.raises(InputError, match=rf"^seed 3: .*{name} cannot be read"):
        run_seeds(BASE, (3,), small_dataset(), make_similarity(), tmp_path)


def test_a_stop_is_asked_for_once_and_then_forced():
    stop = StopRequest()
    before = signal.getsignal(signal.SIGINT)
    with stop.listening():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(Stopped, match="stopped by SIGINT"):
            stop.check()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_checkpoint_holds_json_and_tensors_only(stopped):
    _, (tensors, state) = stopped
    assert json.loads(json.dumps(state)) == state
    assert state["training"]["epoch"] == 1
    assert {name.split(".")[0] for name in tensors} == {"model", "momentum", "random", "sums"}
