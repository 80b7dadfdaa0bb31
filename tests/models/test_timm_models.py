"""Networks of timm: its own modules, untrained, for any images, in every part of this package."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ffdwv_fast import InputError, evaluate, export, predict, train
from ffdwv_fast.data.loader import LOADERS
from ffdwv_fast.engine import distributed, run_folder
from ffdwv_fast.engine.network import network_of, why_unfit
from ffdwv_fast.engine.trained import load_trained
from ffdwv_fast.engine.weight_copies import WeightCopies
from ffdwv_fast.models import timm_models
from ffdwv_fast.models.build import make_model, refuse_unknown_model
from tests.engine.resident import ResidentLoader
from tests.engine.stopping import run_in_parts, start
from tests.engine.test_parts import CONFIG
from tests.models.timm_here import imported_timm
from tests.reliability.left import left_by

timm = imported_timm()

# Plain batch normalisation, timm's own, and a transformer, which is made for a size of images.
NETWORKS = ("test_resnet", "test_efficientnet", "test_vit")
EACH = pytest.mark.parametrize("name", NETWORKS)
RUN = ("--dataset", "digits", "--device", "cpu", "--loader", "torch", "--epochs", "1")


def images(shape=(1, 32, 32)) -> torch.Tensor:
    return torch.randn(4, *shape, generator=torch.Generator().manual_seed(1))


def own(name: str, classes: int = 7, shape=(1, 32, 32)) -> nn.Module:
    size = {"img_size": shape[1:]} if name == "test_vit" else {}
    return timm.create_model(name, num_classes=classes, in_chans=shape[0], **size)


@EACH
@pytest.mark.parametrize("fast", [True, False], ids=["fast", "plain"])
def test_it_is_timms_module(name, fast):
    torch.manual_seed(0)
    options = {"channels_last": fast, "skip_counters": fast}
    ours = make_model(f"timm:{name}", 7, (1, 32, 32), **options).double()
    theirs = own(name).double()
    theirs.load_state_dict(ours.state_dict())
    pixels = images().double()
    torch.testing.assert_close(ours.eval()(pixels), theirs.eval()(pixels))
    for model in (ours, theirs):
        model.train()(pixels).square().mean().backward()
    for (n, a), b in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, msg=n)
    for (n, a), b in zip(ours.named_buffers(), theirs.buffers(), strict=True):
        if fast and n.endswith("num_batches_tracked"):
            assert (int(a), int(b)) == (0, 1), n
        else:
            torch.testing.assert_close(a, b)


@EACH
def test_the_same_seed_gives_the_same_weights_and_memory_is_channels_last(name):
    pair = []
    for _ in range(2):
        torch.manual_seed(3)
        pair.append(make_model(f"timm:{name}", 7, (3, 32, 32)))
    assert all(torch.equal(a, b) for a, b in zip(*(m.parameters() for m in pair), strict=True))
    weights = [m.weight for m in pair[0].modules() if isinstance(m, nn.Conv2d)]
    assert all(w.is_contiguous(memory_format=torch.channels_last) for w in weights)


def test_it_compiles_in_one_graph_without_counters():
    model = make_model("timm:test_efficientnet", 7, (1, 32, 32)).train()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    assert torch.equal(compiled(images()), model(images()))
    counts = [b for n, b in model.named_buffers() if n.endswith("num_batches_tracked")]
    assert counts
    assert not any(counts)


@EACH
def test_low_precision_copies_of_the_weights_change_nothing(name):
    torch.manual_seed(0)
    model = make_model(f"timm:{name}", 7, (1, 32, 32)).train()
    copies = WeightCopies(model, torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
        expected = model(images())
        expected.float().square().sum().backward()
        gradients = [p.grad.clone() for p in model.parameters()]
        model.zero_grad()
        found = copies.twin(images())
        found.float().square().sum().backward()
    copies.gradients_to_weights()
    assert torch.equal(found, expected)
    assert all(torch.equal(p.grad, g) for p, g in zip(model.parameters(), gradients, strict=True))


class Scaled(nn.Conv2d):
    """Computes with its weight in float32 before the convolution."""

    def forward(self, x):
        assert self.weight.dtype == torch.float32
        return super().forward(x)


def test_layers_that_compute_with_their_weights_have_no_copies():
    model = nn.Sequential(Scaled(1, 2, 1), nn.Conv2d(2, 3, 1))
    copies = WeightCopies(model, torch.bfloat16)
    assert len(copies.copies) == 2
    with torch.autocast("cpu", torch.bfloat16):
        copies.twin(images()).sum().backward()


def test_a_weight_that_no_gradient_reaches_is_left_as_it_is():
    model = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
    copies = WeightCopies(model, torch.bfloat16)
    copies.twin[0](torch.ones(1, 2, dtype=torch.bfloat16)).sum().backward()
    copies.gradients_to_weights()
    assert torch.equal(model[0].bias.grad, torch.ones(2))
    assert model[1].weight.grad is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("timm:test_resnet_", "timm has no such network; did you mean timm:test_resnet"),
        ("timm:zzzzzz", "timm has no such network; see timm.list_models()"),
        ("timm:resnet18.a1_in1k", "a tag names weights, and none are downloaded; use timm:res"),
        ("timm:hf-hub:timm/resnet18.a1_in1k", "timm has no such network"),
        ("timm:", "timm has no such network"),
        ("Timm:resnet18", "is unknown; use resnet8, "),
    ],
)
def test_an_unknown_name_is_refused_with_similar_ones(name, expected):
    with pytest.raises(InputError) as error:
        refuse_unknown_model(name)
    assert str(error.value).startswith(repr(name))
    assert expected in str(error.value)


def test_timm_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(InputError, match=r"not installed: pip install 'ffdwv_fast\[timm\]'$"):
        refuse_unknown_model("timm:resnet18")


@pytest.mark.parametrize("name", ["test_vit", "test_convnext"])
def test_images_that_are_too_small_are_refused(name):
    config = replace(CONFIG, model=f"timm:{name}")
    with pytest.raises(InputError, match=rf"timm:{name} .* 1 x 8 x 8 \(.+\); use another"):
        network_of(config, 10, (1, 8, 8))


def test_a_batch_of_one_image_that_cannot_be_normalised_is_refused(monkeypatch, tmp_path):
    monkeypatch.setitem(LOADERS, "resident", ResidentLoader)
    config = replace(CONFIG, model="timm:test_resnet", loader="resident", batch_size=11)
    with pytest.raises(InputError, match=r"size 11: a batch of 1 images.*more than 1 value"):
        start(config, tmp_path)
    assert why_unfit(network_of(config, 10, (1, 8, 8)), 10, (1, 8, 8), 2) is None


def test_batch_normalisation_that_does_more_is_not_synchronised():
    plain = network_of(replace(CONFIG, model="timm:test_resnet"), 10, (1, 32, 32))
    kinds = {type(m) for m in distributed._synchronised(plain).modules()}
    assert nn.SyncBatchNorm in kinds
    other = network_of(replace(CONFIG, model="timm:test_efficientnet"), 10, (1, 32, 32))
    with pytest.raises(InputError, match="--sync-batch-norm does not go with this network"):
        distributed._synchronised(other)


def test_a_run_that_is_stopped_and_gone_on_with_has_the_same_bits(monkeypatch, tmp_path):
    monkeypatch.setitem(LOADERS, "resident", ResidentLoader)
    monkeypatch.setattr(run_folder, "draw_curves", lambda *_: None)
    config = replace(CONFIG, model="timm:test_resnet", loader="resident", batch_size=8)
    start(config, tmp_path / "whole")
    run_in_parts(config, tmp_path / "parts", 1, 2, 1, 2)
    assert left_by(tmp_path / "parts") == left_by(tmp_path / "whole")


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """timm's weights for 1000 classes, as a file of somebody's."""
    torch.manual_seed(5)
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    save_file(own("test_resnet", 1000, (1, 8, 8)).state_dict(), path)
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory, pretrained):
    """A finished run that began with these weights; nearly without learning."""
    out = tmp_path_factory.mktemp("timm") / "run"
    options = ("--model", "timm:test_resnet", "--pretrained", str(pretrained), "--lr", "1e-12")
    train.main([*RUN, *options, "--train-limit", "64", "--weight-decay", "0", "--out", str(out)])
    return out


def test_a_run_begins_with_a_files_weights_but_for_the_classifier(run, pretrained):
    left, theirs = load_file(run / "model.safetensors"), load_file(pretrained)
    told = json.loads((run / "pretrained.json").read_text())
    assert set(told["initial"]) == {"fc.weight", "fc.bias"}
    for name in told["taken"]:
        if not name.endswith(("running_mean", "running_var")):
            torch.testing.assert_close(left[name], theirs[name], rtol=0, atol=1e-9)
    assert left["fc.weight"].shape == (10, theirs["fc.weight"].shape[1])


def test_a_finished_run_is_opened_evaluated_and_asked(run, tmp_path, capsys):
    trained_net = load_trained(run, torch.device("cpu")).network
    theirs = own("test_resnet", 10, (1, 8, 8))
    theirs.load_state_dict(load_file(run / "model.safetensors"))
    torch.testing.assert_close(trained_net(images((1, 8, 8))), theirs.eval()(images((1, 8, 8))))
    evaluate.main([str(run), "--json", str(tmp_path / "numbers.json"), "--device", "cpu"])
    summary = json.loads((run / "summary.json").read_text())
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert (numbers["error"], numbers["nll"]) == (summary["test_error"], summary["test_nll"])
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "black.png")
    capsys.readouterr()
    predict.main([str(run), str(tmp_path / "black.png"), "--json", "--device", "cpu"])
    (answer,) = json.loads(capsys.readouterr().out)
    assert len(answer["predictions"]) == 5


def test_its_costs_are_those_of_timms_module_on_values(run):
    model = own("test_resnet", 10, (1, 8, 8)).eval()
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 1, 8, 8))
    summary = json.loads((run / "summary.json").read_text())
    assert summary["test_flops"] == summary["train_flops"] == counter.get_total_flops()
    assert summary["parameters"] == sum(p.numel() for p in model.parameters())
    assert summary["versions"]["timm"] == timm.__version__


def test_it_is_exported(run, tmp_path, capsys):
    export.main([str(run), "--format", "pt2", "--out", str(tmp_path / "net.pt2")])
    assert "largest difference of a logit" in capsys.readouterr().out


def test_it_teaches_and_its_folder_has_no_colon(tmp_path, capsys):
    options = ("--method", "kd", "--model", "resnet8", "--teacher-model", "timm:test_resnet")
    folders = ("--teacher-dir", str(tmp_path / "teachers"), "--out", str(tmp_path / "run"))
    train.main([*RUN, "--train-limit", "64", *options, *folders])
    (teacher,) = (f for f in (tmp_path / "teachers").iterdir() if f.is_dir())
    assert teacher.name.startswith("digits-timm-test_resnet-")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    theirs = json.loads((teacher / "summary.json").read_text())
    assert summary["train_flops"] == summary["test_flops"] + theirs["test_flops"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--model", "timm:test_resnot"), "argument --model: 'timm:test_resnot' is unknown"),
        (("--teacher-model", "timm:x"), "argument --teacher-model: 'timm:x' is unknown"),
    ],
)
def test_names_on_the_command_line(options, expected, capsys):
    with pytest.raises(SystemExit):
        train.main([*RUN, *options])
    assert expected in capsys.readouterr().err


def test_a_shortcut_is_for_this_packages_own_networks():
    with pytest.raises(InputError, match="--shortcut B is for this package's own networks"):
        train.main([*RUN, "--model", "timm:test_resnet", "--shortcut", "B"])


@pytest.mark.parametrize("channels_last", [True, False])
def test_strided_1x1_convolutions_of_few_channels_are_not_channels_last(channels_last):
    # Else torch's CPU code writes beyond its memory: seen in the stem of mobileone_s0.
    model = nn.Sequential(nn.Conv2d(3, 4, 1, stride=2), nn.Conv2d(4, 8, 3), nn.Conv2d(8, 8, 1, 2))
    if channels_last:
        model.to(memory_format=torch.channels_last)
    timm_models._spare_onednn(model)
    seen = []
    model[0].register_forward_hook(lambda _, inputs, out: seen.extend([*inputs, out]))
    pixels = images((3, 32, 32)).contiguous(memory_format=torch.channels_last)
    for _ in range(10):
        model(pixels).sum().backward()
    assert all(t.is_contiguous() for t in seen)
    assert model[0].weight.stride() == (3, 1, 1, 1)
    assert model[2].weight.stride() == ((8, 1, 8, 8) if channels_last else (8, 1, 1, 1))
