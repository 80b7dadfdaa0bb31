"""Weights of a file to begin with: what is taken, what is not, and what is refused."""

import json
import os
import pickle
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ffdwv_fast import InputError, resnet8, resnet20
from ffdwv_fast.data.loader import LOADERS
from ffdwv_fast.engine import run_folder
from ffdwv_fast.engine.pretrained import load_pretrained
from ffdwv_fast.engine.run import Run
from ffdwv_fast.engine.stop import Stopped
from ffdwv_fast.engine.tensor_file import write_tensors
from tests.engine.resident import ResidentLoader, small_dataset
from tests.engine.steps import make_similarity
from tests.engine.stopping import EVENTS, StopAfter, start
from tests.engine.test_parts import CONFIG
from tests.reliability.left import left_by

BASE = replace(CONFIG, loader="resident", batch_size=8)


def network(classes: int = 10, seed: int = 0, channels: int = 1):
    torch.manual_seed(seed)
    return resnet8(classes, in_channels=channels)


def state(model) -> dict[str, torch.Tensor]:
    return {name: tensor.clone().contiguous() for name, tensor in model.state_dict().items()}


@pytest.fixture
def file(tmp_path):
    """The weights of a network for 100 classes."""
    path = tmp_path / "weights.safetensors"
    save_file(state(network(100, seed=1)), path)
    return path


def reason(model, path) -> str:
    before = state(model)
    with pytest.raises(InputError) as error:
        load_pretrained(model, path)
    assert all(torch.equal(before[name], t) for name, t in model.state_dict().items())
    assert "\n" not in str(error.value)
    return str(error.value)


def test_all_but_the_classifier_is_taken_where_that_has_other_classes(file):
    model, initial, theirs = network(), state(network()), state(network(100, seed=1))
    found = load_pretrained(model, file)
    classifier = {"fc.weight": "10 x 64 here, 100 x 64 in the file"}
    assert found.initial == {**classifier, "fc.bias": "10 here, 100 in the file"}
    assert set(found.taken) == model.state_dict().keys() - found.initial.keys()
    assert found.unused == ()
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, (initial if name in found.initial else theirs)[name]), name
    text = str(found)
    assert f"pretrained: {len(found.taken)} of the network's {len(initial)} tensors from" in text
    assert "not taken: fc.weight (10 x 64 here, 100 x 64 in the file), fc.bias (" in text


def test_the_same_classifier_is_taken_too(tmp_path):
    save_file(state(network(seed=1)), tmp_path / "w")
    model = network()
    assert load_pretrained(model, tmp_path / "w").initial == {}
    assert all(torch.equal(t, model.state_dict()[n]) for n, t in state(network(seed=1)).items())


def test_a_layer_is_taken_whole_or_not_at_all(tmp_path):
    theirs = state(network(seed=1))
    theirs["fc.weight"] = torch.zeros(10, 32)
    theirs["bn1.running_mean"] = torch.zeros(3)
    save_file({**theirs, "head.scale": torch.ones(1)}, tmp_path / "w")
    model = network()
    found = load_pretrained(model, tmp_path / "w")
    assert {name.rpartition(".")[0] for name in found.initial} == {"fc", "bn1"}
    assert found.initial["fc.bias"] == found.initial["bn1.weight"] == "its layer does not fit"
    assert found.unused == ("head.scale",)
    assert torch.equal(model.fc.bias, network().fc.bias)


def test_memory_formats_and_dtypes_may_differ(tmp_path):
    theirs = state(network(seed=1).half())
    save_file(theirs, tmp_path / "w")
    model = network()
    load_pretrained(model, tmp_path / "w")
    weight = model.stages[1][0].conv1.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(weight, theirs["stages.1.0.conv1.weight"].float())


@pytest.mark.parametrize(
    ("wrap", "zipped"),
    [
        (lambda tensors: tensors, True),
        (lambda tensors: tensors, False),
        (lambda tensors: {"state_dict": tensors, "epoch": 3}, True),
        (lambda tensors: {"model": {f"module.{n}": t for n, t in tensors.items()}}, True),
        (lambda tensors: {f"_orig_mod.{n}": t for n, t in tensors.items()}, True),
    ],
    ids=["plain", "old format", "state_dict", "DistributedDataParallel", "compiled"],
)
def test_what_torch_save_has_written(wrap, zipped, tmp_path):
    theirs = state(network(seed=1))
    torch.save(wrap(theirs), tmp_path / "w", _use_new_zipfile_serialization=zipped)
    model = network()
    assert load_pretrained(model, tmp_path / "w").initial == {}
    assert all(torch.equal(t, theirs[name]) for name, t in model.state_dict().items())


def test_a_runs_own_file_of_every_length_of_header(tmp_path):
    theirs = state(network(seed=1))
    first = set()
    for padding in range(40):  # safetensors may begin with the byte of a pickle
        write_tensors(tmp_path / "w", theirs, {"x": "y" * 8 * padding})
        first.add((tmp_path / "w").read_bytes()[0])
        assert load_pretrained(network(), tmp_path / "w").initial == {}
    assert 0x80 in first


class Harm:
    """What a pickle could do: make a folder."""

    def __init__(self, folder=None):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def test_what_does_not_fit_at_all_is_refused(tmp_path):
    theirs = {"a.weight": torch.ones(3), "bn1.num_batches_tracked": torch.tensor(5)}
    save_file(theirs, tmp_path / "w")
    message = reason(network(), tmp_path / "w")
    assert message == (
        f"--pretrained {tmp_path / 'w'}: none of its 2 tensors has name and shape of one of the "
        "network's parameters (a.weight, bn1.num_batches_tracked there, conv1.weight, bn1.weight, "
        "... here); take the weights of the same network"
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(value, tmp_path):
    theirs = state(network(seed=1))
    theirs["fc.weight"][3, 5] = value
    save_file(theirs, tmp_path / "w")
    assert "fc.weight is not finite everywhere" in reason(network(), tmp_path / "w")


@pytest.mark.parametrize("wrap", [lambda harm: harm, lambda harm: {"fc.weight": harm}])
def test_what_a_pickle_would_do_is_not_done(wrap, tmp_path):
    torch.save(wrap(Harm(tmp_path / "harm")), tmp_path / "w")
    assert "is damaged, or holds more than tensors" in reason(network(), tmp_path / "w")
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    "content", [[torch.ones(2)], {}, {"a": 1}, {3: torch.ones(2)}, torch.ones(2)], ids=repr
)
def test_what_is_no_state_dict_is_refused(content, tmp_path):
    torch.save(content, tmp_path / "w")
    assert "holds no state dict; give a safetensors file" in reason(network(), tmp_path / "w")


@pytest.mark.parametrize("zipped", [True, False])
def test_damaged_files_are_refused_or_read(zipped, tmp_path):
    path = tmp_path / "w"
    torch.save(state(network(100)), path, _use_new_zipfile_serialization=zipped)
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    for length in [0, 1, 5, *rng.integers(9, len(content), 30)]:
        path.write_bytes(content[:length])
        assert "--pretrained" in reason(network(), path)
    for place in [*range(20), *rng.integers(0, len(content), 60)]:
        damaged = bytearray(content)
        damaged[place] ^= 1 + int(rng.integers(255))
        path.write_bytes(damaged)
        with suppress(InputError):
            load_pretrained(network(), path)


def test_a_folder_is_no_file(tmp_path):
    assert "cannot be read (Is a directory)" in reason(network(), tmp_path)


def test_a_plain_pickle_is_not_read(tmp_path):
    (tmp_path / "w").write_bytes(pickle.dumps({"fc.weight": [1.0]}))
    assert "--pretrained" in reason(network(), tmp_path / "w")


@pytest.fixture
def _registered(monkeypatch):
    monkeypatch.setitem(LOADERS, "resident", ResidentLoader)
    monkeypatch.setattr(run_folder, "draw_curves", lambda *_: None)


@pytest.mark.usefixtures("_registered")
@pytest.mark.parametrize("method", ["vanilla", "dml"])
def test_a_run_begins_with_them_and_says_which(file, method, tmp_path, capsys):
    config = replace(BASE, pretrained=str(file), method=method, amp="bf16")
    one = Run(config, small_dataset(), make_similarity(), tmp_path / "run")
    theirs = state(network(100, seed=1))
    for name, tensor in one.trainer.model.state_dict().items():
        own = name if method == "vanilla" else name.partition(".")[2]
        if not own.startswith("fc."):
            assert torch.equal(tensor, theirs[own]), name
    assert "tensors from" in capsys.readouterr().out
    told = json.loads((tmp_path / "run" / "pretrained.json").read_text())
    assert told["file"] == str(file)
    assert list(told["initial"]) == ["fc.weight", "fc.bias"]
    assert len(told["taken"]) == len(theirs) - 2


@pytest.mark.usefixtures("_registered")
def test_a_run_that_is_gone_on_with_needs_the_file_no_more(file, tmp_path):
    config = replace(BASE, pretrained=str(file))
    start(config, tmp_path / "whole")
    with pytest.raises(Stopped):
        start(config, tmp_path / "parts", StopAfter(EVENTS))
    told = (tmp_path / "parts" / "pretrained.json").read_bytes()
    file.unlink()
    start(config, tmp_path / "parts")
    assert left_by(tmp_path / "parts") == left_by(tmp_path / "whole")
    assert (tmp_path / "parts" / "pretrained.json").read_bytes() == told


def test_another_network_is_refused(tmp_path):
    save_file({f"net.{n}": t for n, t in state(resnet20(in_channels=1)).items()}, tmp_path / "w")
    assert "take the weights of the same network" in reason(network(), tmp_path / "w")
