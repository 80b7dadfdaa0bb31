"""Which device a name means, and what is said of those that are not there."""

import pytest
import torch

from ffdwv_fast.devices import resolve_device
from ffdwv_fast.errors import InputError


def test_auto_is_the_cpu_where_there_is_no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == torch.device("cpu")


def test_auto_is_a_gpu_where_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device("auto") == torch.device("cuda")


@pytest.mark.parametrize("device", ["cpu", "cuda", "cuda:1", torch.device("cuda", 1)])
def test_a_device_that_is_there_means_itself(monkeypatch, device):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device(device) == torch.device(device)


@pytest.mark.parametrize("device", ["tpu", "mps", "meta", "", "cuda:x", torch.device("meta")])
@pytest.mark.parametrize(("option", "named"), [(None, "device '{}'"), ("--device", "--device {}")])
def test_what_is_no_device_is_named_with_what_is_allowed(device, option, named):
    with pytest.raises(InputError) as raised:
        resolve_device(device, option=option)
    assert str(raised.value) == f"{named.format(device)}: expected auto, cpu, cuda or cuda:N"


@pytest.mark.parametrize(
    ("count", "device", "way_out"), [(0, "cuda", "cpu"), (2, "cuda:2", "cpu or a lower N")]
)
def test_a_gpu_that_is_not_there_is_named_with_a_way_out(monkeypatch, count, device, way_out):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    with pytest.raises(InputError) as raised:
        resolve_device(device, option="--device")
    message = str(raised.value)
    assert message.startswith(f"--device {device}: torch {torch.__version__} sees {count} CUDA")
    assert message.endswith(f"use --device {way_out}")
