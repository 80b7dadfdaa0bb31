"""The network's speed-ups change neither what it computes nor what it saves."""

import pytest
import torch
from torch import nn

from ffdwv_fast import resnet8
from ffdwv_fast.models.resnet import BatchNorm2d

SHORTCUTS = pytest.mark.parametrize("shortcut", ["A", "B"])


def images():
    return torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def trained(**options) -> nn.Module:
    torch.manual_seed(0)
    model = resnet8(**options)
    model(images()).square().mean().backward()
    return model


@SHORTCUTS
def test_counters_are_all_that_skipping_them_changes(shortcut):
    fast, plain = (trained(shortcut=shortcut, skip_counters=skip) for skip in (True, False))
    for (name, a), b in zip(fast.state_dict().items(), plain.state_dict().values(), strict=True):
        if name.endswith("num_batches_tracked"):
            assert (int(a), int(b)) == (0, 1), name
        else:
            assert torch.equal(a, b), name
    for a, b in zip(fast.parameters(), plain.parameters(), strict=True):
        assert torch.equal(a.grad, b.grad)
    assert torch.equal(fast.eval()(images()), plain.eval()(images()))


@SHORTCUTS
@pytest.mark.parametrize("skip", [True, False], ids=["from fast", "from plain"])
def test_weights_go_from_one_kind_to_the_other(shortcut, skip):
    source = trained(shortcut=shortcut, skip_counters=skip).eval()
    target = resnet8(shortcut=shortcut, skip_counters=not skip).eval()
    target.load_state_dict(source.state_dict())
    assert torch.equal(source(images()), target(images()))


def test_counting_kind_is_torchs_own():
    kinds = {type(m) for m in resnet8(skip_counters=False).modules()}
    assert nn.BatchNorm2d in kinds
    assert BatchNorm2d not in kinds


def test_memory_format_changes_rounding_alone():
    last, first = (trained(channels_last=on) for on in (True, False))
    assert last.stages[1][0].conv1.weight.is_contiguous(memory_format=torch.channels_last)
    assert first.stages[1][0].conv1.weight.is_contiguous()
    for a, b in zip(last.parameters(), first.parameters(), strict=True):
        assert torch.equal(a, b)
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-6)
    seen = []
    for model in (last, first):
        model.stages[1][0].conv1.register_forward_hook(lambda m, i, o: seen.append(o))
        model(images())
    assert seen[0].is_contiguous(memory_format=torch.channels_last)
    assert not seen[1].is_contiguous(memory_format=torch.channels_last)
