"""Loaders of both kinds, and tiny CIFAR sets."""

from functools import partial

import pytest

from ffdwv_fast.data.dataset import Dataset
from ffdwv_fast.data.loader import make_loader
from tests.data.samples import expect_tiny


@pytest.fixture(params=["dali", "torch"])
def kind(request) -> str:
    """The name of a loader that is installed."""
    if request.param == "dali":
        pytest.importorskip("nvidia.dali")
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
