"""python -m ffdwv_fast.evaluate: the numbers of a finished run's network."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from ffdwv_fast import InputError, evaluate, resnet8
from ffdwv_fast.data.class_names import DIGITS_CLASSES
from ffdwv_fast.data.dataset import ImageSet
from ffdwv_fast.data.digits import load_digits
from ffdwv_fast.data.traits import TRAITS
from ffdwv_fast.engine import run_images
from tests.trained.conftest import finished_run

METRICS = ("error", "nll", "ece", "top5_error", "errors_in_superclass", "confusion_correlation")


def evaluated(folder, tmp_path, *options):
    """The file that the command writes."""
    file = tmp_path / "metrics.json"
    evaluate.main([str(folder), "--device", "cpu", "--json", str(file), *options])
    return json.loads(file.read_text())


def assert_as_in_summary(folder, found):
    summary = json.loads((folder / "summary.json").read_text())
    assert [found[name] for name in METRICS] == [
        summary[f"{found['split']}_{name}"] for name in METRICS
    ]


def test_it_gives_the_numbers_of_the_runs_summary(run, tmp_path):
    found = evaluated(run, tmp_path)
    assert (found["split"], found["images"], found["loader"]) == ("test", 360, "torch")
    assert found["confusion_correlation"] is not None
    assert_as_in_summary(run, found)


@pytest.mark.parametrize(
    "options",
    [
        ("--method", "dml", "--loader", "gpu"),
        ("--method", "vanilla", "--amp", "bf16", "--shortcut", "B", "--without", "channels-last"),
    ],
)
def test_it_gives_them_for_other_kinds_of_runs(tmp_path, options):
    small = ("--epochs", "1", "--train-limit", "64", "--validation", "30")
    folder = finished_run(tmp_path / "run", *small, *options)
    found = evaluated(folder, tmp_path)
    assert (found["split"], found["images"]) == ("validation", 30)
    assert_as_in_summary(folder, found)


def reference(folder, images: ImageSet):
    """Error, top-5 error, NLL and calibration error, computed by other means."""
    network = resnet8(10, in_channels=1)
    network.load_state_dict(load_file(folder / "model.safetensors"))
    pixels = (images.images.astype(np.float32) / 255 - 0.30543) / 0.37596
    with torch.no_grad():
        logits = network.eval()(torch.from_numpy(pixels).permute(0, 3, 1, 2)).double().numpy()
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    ranked, own = np.argsort(-p, axis=1), images.labels[:, None]
    right, confidence = ranked[:, 0] == images.labels, p.max(1)
    bins = np.ceil(confidence * 15)
    gaps = [abs(right[bins == b].sum() - confidence[bins == b].sum()) for b in range(1, 16)]
    return {
        "error": 100 * (1 - right.mean()),
        "top5_error": 100 * (1 - (ranked[:, :5] == own).any(1).mean()),
        "nll": -np.log(np.take_along_axis(p, own, 1)).mean(),
        "ece": 100 * sum(gaps) / len(own),
    }


def test_the_training_images_are_those_that_the_run_trained_on(run, tmp_path):
    found = evaluated(run, tmp_path, "--split", "train", "--batch-size", "77")
    expected = reference(run, load_digits().limit_train(200).train)
    assert found["images"] == 200
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-5)


@pytest.fixture
def other_set(monkeypatch):
    """A function that lets a data set stand for --dataset cifar10, with the classes of digits."""

    def take(dataset):
        monkeypatch.setitem(TRAITS, "cifar10", TRAITS["digits"])
        stand_in = replace(dataset, name="cifar10")
        monkeypatch.setattr(run_images, "load_dataset", lambda *_: stand_in)

    return take


def test_images_of_another_data_set_are_normalised_as_the_runs(run, tmp_path, other_set):
    other_set(replace(load_digits(), mean=(0.0,), std=(9.0,)))
    found = evaluated(run, tmp_path, "--dataset", "cifar10")
    assert found["dataset"] == "cifar10"
    assert_as_in_summary(run, found)


def test_another_data_set_of_the_same_classes_is_not_limited_as_the_runs(run, tmp_path, other_set):
    other_set(load_digits().limit_train(250))
    found = evaluated(run, tmp_path, "--dataset", "cifar10", "--split", "train")
    assert found["images"] == 250


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ({"class_names": (*DIGITS_CLASSES, "ten")}, "has 11 classes, the run's network 10"),
        (
            {"class_names": ("nought", *DIGITS_CLASSES[1:])},
            "its class 0 is 'nought', the run's 'zero'",
        ),
        ({"shape": (3, 8, 8)}, "its images have 3 channels, the run's 1"),
    ],
)
def test_a_data_set_of_other_classes_or_images_is_refused_before_it_is_loaded(
    run, tmp_path, monkeypatch, refused, other, expected
):
    monkeypatch.setitem(TRAITS, "cifar10", replace(TRAITS["digits"], **other))
    options = ("--device", "cpu", "--dataset", "cifar10", "--data-dir", tmp_path / "none")
    assert expected in refused(evaluate.main, run, *options)
    assert not (tmp_path / "none").exists()


def test_word_vectors_that_are_gone_cost_the_correlation_alone(run, tmp_path, monkeypatch, capsys):
    def gone(*_):
        raise InputError("there is no such file")

    monkeypatch.setattr(evaluate, "similarity_from_arguments", gone)
    found = evaluated(run, tmp_path)
    assert found["confusion_correlation"] is None
    assert found["nll"] == json.loads((run / "summary.json").read_text())["test_nll"]
    expected = "warning: no rank correlation with S: there is no such file"
    assert capsys.readouterr().err.strip() == expected


def test_what_the_options_cannot_mean_is_refused(run, tmp_path, refused):
    line = refused(evaluate.main, run, "--split", "validation")
    assert "held no images of digits out; use test or train" in line
    line = refused(evaluate.main, run, "--json", tmp_path / "none" / "a.json")
    assert "there is no folder" in line
