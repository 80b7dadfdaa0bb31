"""The methods by the command: what their options do, and which are refused."""

import json

import pytest

from ffdwv_fast.engine import run as engine_run
from ffdwv_fast.methods import METHODS
from ffdwv_fast.train import main
from tests.test_train_command import TINY, refused, train

SHORT = ("--loader", "torch", "--epochs", "1", "--train-limit", "96")


@pytest.fixture
def teachers(tmp_path) -> tuple[str, ...]:
    """Options of a small teacher that is kept in this test's folder."""
    return ("--teacher-model", "resnet8", "--teacher-dir", str(tmp_path / "teachers"))


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains(tmp_path, method, teachers):
    options = teachers if METHODS[method].needs_teacher else ()
    run = train(tmp_path / "run", *SHORT, "--method", method, *options)
    (line,) = run["metrics"]
    assert 0 <= run["summary"]["test_error"] <= 100
    assert (line["train_kl"] is not None) == METHODS[method].has_soft_term
    assert (line["peer_error"] is not None) == (METHODS[method].networks > 1)
    assert (run["config"]["teacher"] is not None) == METHODS[method].needs_teacher


def test_both_mutual_networks_are_reported_and_kept(tmp_path, capsys):
    run = train(tmp_path / "run", *SHORT, "--method", "dml")
    assert run["summary"]["peer_error"] == run["metrics"][-1]["peer_error"]
    assert (tmp_path / "run" / "peer.safetensors").exists()
    alone = train(tmp_path / "alone", *SHORT, "--method", "vanilla")
    assert run["summary"]["parameters"] == alone["summary"]["parameters"]
    assert "its peer's" in capsys.readouterr().out


def test_a_second_student_takes_the_teacher_that_is_there(tmp_path, capsys, teachers):
    for seed in ("0", "1"):
        options = ("--method", "kd", "--seed", seed, "--temperature", "3", *teachers)
        run = train(tmp_path / seed, *SHORT, *options)
        assert run["config"]["teacher"] == {"model": "resnet8", "file": None, "temperature": 3.0}
    assert capsys.readouterr().out.count("is trained now and kept in") == 1


def test_loss_scale_scales_the_loss(tmp_path):
    run = train(tmp_path / "run", *SHORT, "--loss-scale", "0.5")
    (line,) = run["metrics"]
    assert line["train_loss"] == pytest.approx((line["train_ce"] + line["train_kl"]) / 2, rel=1e-6)


def test_soft_weight_falls_to_zero(tmp_path):
    options = ("--epochs", "2", "--soft-weight-schedule", "cosine", "--soft-weight", "0.5")
    run = train(tmp_path / "run", *SHORT, *options)
    first, last = run["metrics"]
    assert first["train_loss"] == pytest.approx(first["train_ce"] + first["train_kl"] / 2, rel=1e-6)
    assert last["train_loss"] == pytest.approx(last["train_ce"], rel=1e-6)


def test_a_validation_run_knows_no_test_error(tmp_path, capsys, monkeypatch):
    evaluated = []
    original = engine_run.make_loader

    def make_loader(kind, images, dataset, **settings):
        evaluated.append((len(images), settings["augment"]))
        return original(kind, images, dataset, **settings)

    monkeypatch.setattr(engine_run, "make_loader", make_loader)
    run = train(tmp_path / "run", *SHORT, "--validation", "30")
    assert evaluated == [(66, True), (30, False)]
    assert [key for key in run["summary"] if key.startswith("test")] == ["test_flops"]
    assert run["summary"]["validation_error"] == run["metrics"][0]["validation_error"]
    assert run["metrics"][0]["test_error"] is None
    assert run["config"]["validation"] == 30
    assert "test error" not in capsys.readouterr().out


def test_seeds_of_validation_runs_are_summarised_as_such(tmp_path):
    options = ("--seeds", "0,1", "--validation", "30", "--out", str(tmp_path / "all"))
    main([*TINY, *SHORT, *options])
    summary = json.loads((tmp_path / "all" / "summary.json").read_text())
    assert summary["validation_error"]["n"] == 2
    assert "test_error" not in summary


REFUSED = {
    "a schedule without a soft term": (
        ["--method", "vanilla", "--soft-weight-schedule", "linear"],
        "vanilla has no soft-target term to weigh",
    ),
    "an unknown schedule": (["--soft-weight-schedule", "step"], "invalid choice: 'step'"),
    "a loss scale of zero": (["--loss-scale", "0"], "'0' is not a number above 0"),
    "no validation images": (["--validation", "0"], "'0' is not an integer of 1 or more"),
    "nothing left to train on": (
        ["--validation", "200"],
        "200 validation images: expected 1 to 199",
    ),
    "a teacher of another method": (
        ["--teacher", "a.safetensors"],
        "--teacher a.safetensors: ffdwv has no teacher; use --method kd",
    ),
    "a teacher's network of another method": (
        ["--teacher-model", "resnet8"],
        "--teacher-model resnet8: ffdwv has no teacher",
    ),
    "a teacher that is not there": (
        ["--method", "kd", "--teacher", "no/such.safetensors"],
        "--teacher no/such.safetensors: there is no such file",
    ),
    "an unknown teacher": (["--teacher-model", "vgg"], "'vgg' is unknown; use resnet8, "),
    "a diagonal for a teacher": (
        ["--method", "kd", "--temperature", "auto:0.8"],
        "--temperature auto:0.8: a mean diagonal is S's",
    ),
    "a teacher's temperature of zero": (["--method", "kd", "--temperature", "0"], "temperature"),
    "an unknown metric": (["--metric", "manhattan"], "invalid choice: 'manhattan'"),
}


@pytest.mark.parametrize(("options", "message"), REFUSED.values(), ids=REFUSED)
def test_bad_options_get_one_line_and_status_2(capsys, tmp_path, options, message):
    assert message in refused(capsys, "--out", str(tmp_path / "run"), *options)
    assert not (tmp_path / "run").exists()
