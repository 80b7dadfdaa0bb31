"""Loaders of every kind, and tiny CIFAR sets."""

from functools import partial

import pytest

from ffdwv_fast import native
from ffdwv_fast.data.dataset import Dataset
from ffdwv_fast.data.loader import LOADERS, make_loader
from tests.data.samples import expect_tiny


@pytest.fixture(params=LOADERS)
def kind(request) -> str:
    """The name of a loader that is installed."""
    if request.param == "dali":
        pytest.importorskip("nvidia.dali")
    if request.param == "gpu" and native.load_library() is not None:
        pytest.skip(f"the gpu loader: {native.load_library()}")
    return request.param


@pytest.fixture
def open_loader():
    """A function that makes a loader of a data set's training part; all are closed afterwards."""
    opened = []

    def make(kind: str, dataset: Dataset, **settings):
        settings = {"batch_size": 64, "device": "cpu", "seed": 0, "augment": True} | settings
        opened.append(make_loader(kind, dataset.train, dataset, **settings))
        return opened[-1]

    yield make
    for each in opened:
        each.close()


@pytest.fixture
def loader(open_loader, kind):
    """The same function, for the loader under test."""
    return partial(open_loader, kind)


@pytest.fixture(params=["cifar10", "cifar100"])
def tiny(request, monkeypatch) -> str:
    """The name of a CIFAR set whose files are expected to have TINY_RECORDS records each."""
    expect_tiny(monkeypatch, request.param)
    return request.param
