"""The networks: size, shape of the computation, shortcuts, memory format."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ffdwv_fast import InputError, resnet32, resnet110
from ffdwv_fast.models import MODELS, ResNet


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(("build", "count"), [(resnet32, 464_154), (resnet110, 1_727_962)])
def test_parameter_counts(build, count):
    assert parameters(build(num_classes=10)) == count


@pytest.mark.parametrize("name", MODELS)
def test_depth_is_in_the_name(name):
    model = MODELS[name](num_classes=7)
    on_the_path = [m for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    assert len(on_the_path) == int(name.removeprefix("resnet"))


def test_option_b_adds_two_projections():
    extra = parameters(resnet32(shortcut="B")) - parameters(resnet32())
    assert extra == (16 * 32 + 2 * 32) + (32 * 64 + 2 * 64)


def reference_forward(model: ResNet, x: torch.Tensor) -> torch.Tensor:
    """He et al.'s section 4.2 from the weights alone, with functional calls."""
    w = model.state_dict()

    def bn(x, name):
        names = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(x, *(w[f"{name}.{n}"] for n in names))

    x = F.relu(bn(F.conv2d(x, w["conv1.weight"], padding=1), "bn1"))
    for stage, channels in enumerate((16, 32, 64)):
        for block in range(5):
            at = f"stages.{stage}.{block}"
            stride = 2 if stage and not block else 1
            y = F.conv2d(x, w[f"{at}.conv1.weight"], stride=stride, padding=1)
            y = F.conv2d(F.relu(bn(y, f"{at}.bn1")), w[f"{at}.conv2.weight"], padding=1)
            y = bn(y, f"{at}.bn2")
            if stride == 2:
                shortcut = torch.zeros_like(y)
                shortcut[:, channels // 4 : channels // 4 + channels // 2] = x[:, :, ::2, ::2]
                x = shortcut
            x = F.relu(x + y)
    return F.linear(F.adaptive_avg_pool2d(x, 1).flatten(1), w["fc.weight"], w["fc.bias"])


@pytest.mark.parametrize("size", [(3, 32, 32), (1, 8, 8), (3, 31, 33)], ids=str)
def test_forward_against_functional_calls(size):
    torch.manual_seed(0)
    model = resnet32(num_classes=11, in_channels=size[0]).double()
    images = torch.randn(4, *size, dtype=torch.float64)
    model(images)  # moves the running statistics away from 0 and 1
    model.eval()
    with torch.no_grad():
        torch.testing.assert_close(model(images), reference_forward(model, images))


@pytest.mark.parametrize("shortcut", ["A", "B"])
def test_channels_last_from_input_to_pooling(shortcut):
    model = resnet32(shortcut=shortcut)
    seen = []

    def look(module, inputs, output):
        channels_last = torch.channels_last
        seen.append(output.is_contiguous(memory_format=channels_last))
        assert inputs[0].is_contiguous(memory_format=channels_last), module
        assert output.is_contiguous(memory_format=channels_last), module

    for module in model.stages.modules():
        if not list(module.children()):
            module.register_forward_hook(look)
    model(torch.randn(2, 3, 32, 32))
    assert len(seen) > 60
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    assert all(m.weight.is_contiguous(memory_format=torch.channels_last) for m in convolutions)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shortcut": "C"}, "shortcut is 'C'; use one of A, B"),
        ({"num_classes": 0}, "num_classes is 0"),
        ({"in_channels": 1.5}, "in_channels is 1.5"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(InputError, match=message):
        resnet32(**arguments)
