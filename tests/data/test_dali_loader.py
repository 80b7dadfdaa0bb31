"""What only the DALI loader can get wrong."""

import sys

import pytest

from ffdwv_fast.data.dali_loader import dali_available
from ffdwv_fast.data.loader import make_loader
from ffdwv_fast.errors import InputError
from tests.data.samples import digits_like


@pytest.fixture
def no_dali(monkeypatch):
    monkeypatch.setitem(sys.modules, "nvidia.dali", None)


@pytest.mark.usefixtures("no_dali")
def test_without_dali_it_is_not_available():
    assert not dali_available()


@pytest.mark.usefixtures("no_dali")
def test_without_dali_the_error_names_the_package_and_the_other_loader():
    dataset = digits_like(10)
    with pytest.raises(InputError, match=r"'ffdwv_fast\[dali\]', or use --loader gpu or torch"):
        make_loader(
            "dali", dataset.train, dataset, batch_size=4, device="cpu", seed=0, augment=True
        )


def test_where_dali_is_installed_it_is_available():
    pytest.importorskip("nvidia.dali")
    assert dali_available()
