"""Opening a finished run's folder."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from ffdwv_fast import InputError, resnet20
from ffdwv_fast.data.digits import load_digits
from ffdwv_fast.data.loader import make_loader
from ffdwv_fast.data.registry import DATASETS
from ffdwv_fast.data.traits import TRAITS
from ffdwv_fast.engine.trained import load_trained

CPU = torch.device("cpu")


@pytest.fixture
def copy(run, tmp_path):
    """A copy of the run's folder, to damage."""
    return shutil.copytree(run, tmp_path / "copy")


def reason(folder) -> str:
    with pytest.raises(InputError) as error:
        load_trained(folder, CPU)
    return str(error.value)


def changed_config(folder, **values):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
    return folder


def test_the_network_has_the_weights_and_is_in_evaluation_mode(run):
    trained = load_trained(run, CPU)
    weights = load_file(run / "model.safetensors")
    assert trained.network.state_dict().keys() == weights.keys()
    assert all(torch.equal(t, weights[n]) for n, t in trained.network.state_dict().items())
    assert not any(module.training for module in trained.network.modules())
    assert trained.config.train_limit == 200
    assert trained.summary == json.loads((run / "summary.json").read_text())


def test_from_pixels_normalises_as_the_loader_to_the_bit(run):
    trained = load_trained(run, CPU)
    digits = load_digits()
    loader = make_loader(
        "torch", digits.test, digits, batch_size=360, device="cpu", seed=0, augment=False
    )
    (batch,) = loader.epoch(0)
    seen = trained.from_pixels().normalised(torch.from_numpy(digits.test.images))
    assert torch.equal(seen, batch.images)


def test_every_data_set_that_is_the_same_everywhere_has_its_traits():
    assert TRAITS.keys() == DATASETS.keys() - {"folder"}
    digits = load_digits()
    assert TRAITS["digits"].class_names == digits.class_names
    assert TRAITS["digits"].shape == digits.image_shape
    assert (TRAITS["digits"].mean, TRAITS["digits"].std) == (digits.mean, digits.std)


def test_what_is_no_run_is_refused(run, tmp_path):
    assert "is not there" in reason(tmp_path / "none")
    assert "is a file; name the folder" in reason(run / "model.safetensors")
    assert "no config.json" in reason(tmp_path)


def test_an_unfinished_run_is_refused_with_the_command_that_goes_on_with_it(copy):
    (copy / "summary.json").unlink()
    assert reason(copy).endswith(f"go on with: python -m ffdwv_fast.train --resume {copy}")


def test_an_unfinished_run_of_several_seeds_goes_on_with_all_of_them(copy, tmp_path):
    (copy / "summary.json").unlink()
    (copy / "command.json").rename(tmp_path / "command.json")
    assert reason(copy).endswith(f"--resume {tmp_path}")


def test_of_several_seeds_one_must_be_named(run, tmp_path):
    for name in ("seed3", "seed10"):
        shutil.copytree(run, tmp_path / name)
    (tmp_path / "summary.json").write_text("{}")
    message = reason(tmp_path)
    assert "several seeds, seed10, seed3" in message
    assert message.endswith(f"name one, {tmp_path / 'seed10'}")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"model": "vgg16"}, "its model 'vgg16' is unknown; use resnet8, "),
        ({"model": ["resnet8"]}, "its model \"['resnet8']\" is unknown; use resnet8, "),
        ({"dataset": "imagenet"}, "its dataset is 'imagenet'; this version knows digits"),
        ({"warp": 9}, "is of another version of this package"),
        ({"without": ["wings"]}, "--without wings"),
        ({"shortcut": "C"}, "shortcut is 'C'; use one of A, B"),
        ({"dataset": "cifar10"}, "are not the weights of a resnet8 with shortcut A for cifar10"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(copy, values, expected):
    assert expected in reason(changed_config(copy, **values))


@pytest.mark.parametrize("name", ["config.json", "summary.json"])
@pytest.mark.parametrize("content", ["{", "[1]", "\xff"])
def test_json_that_is_none_is_refused(copy, name, content):
    (copy / name).write_text(content, encoding="latin-1")
    assert f"{copy / name} cannot be read" in reason(copy)


def test_damaged_weights_are_refused(copy):
    file = copy / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert "is damaged (its checksum is another)" in reason(copy)
    file.write_bytes(content[:-100])
    assert "cannot be read" in reason(copy)
    file.unlink()
    assert "cannot be read" in reason(copy)


def test_weights_of_another_network_are_refused(copy):
    save_file(resnet20(in_channels=1, channels_last=False).state_dict(), copy / "model.safetensors")
    assert "are not the weights of a resnet8" in reason(copy)
