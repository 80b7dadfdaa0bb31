"""Data sets by name, and what "auto" means."""

import numpy as np
import pytest

from ffdwv_fast.data.registry import DATASETS, load_dataset, resolve_dataset
from ffdwv_fast.errors import InputError
from tests.data.samples import expect_tiny, tiny_archive, write_tiny


def test_digits_need_no_folder(tmp_path):
    assert load_dataset("digits", tmp_path / "missing").name == "digits"


def test_cifar_is_read_from_the_folder(tiny, tmp_path):
    write_tiny(tiny, tmp_path)
    assert load_dataset(tiny, tmp_path).name == tiny


@pytest.mark.parametrize("name", DATASETS)
def test_a_given_name_means_itself(name, tmp_path):
    assert resolve_dataset(name, tmp_path) == (name, "")


def test_auto_is_digits_where_there_is_nothing_and_says_how_to_get_the_other(tmp_path):
    name, message = resolve_dataset("auto", tmp_path)
    assert name == "digits"
    assert f"cifar10 is not under {tmp_path}" in message
    assert "--dataset cifar10" in message
    assert "\n" not in message


def test_auto_is_cifar10_where_it_is_and_says_how_to_get_the_other(monkeypatch, tmp_path):
    expect_tiny(monkeypatch, "cifar10")
    folder = write_tiny("cifar10", tmp_path)
    name, message = resolve_dataset("auto", tmp_path)
    assert name == "cifar10"
    assert str(folder) in message
    assert "--dataset digits" in message


def test_auto_counts_an_archive_placed_by_hand(monkeypatch, tmp_path):
    expect_tiny(monkeypatch, "cifar10")
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(tiny_archive("cifar10"))
    assert resolve_dataset("auto", tmp_path)[0] == "cifar10"


def test_auto_does_not_take_cifar100_for_cifar10(monkeypatch, tmp_path):
    expect_tiny(monkeypatch, "cifar100")
    write_tiny("cifar100", tmp_path)
    assert resolve_dataset("auto", tmp_path)[0] == "digits"


@pytest.mark.parametrize("name", ["cifar", "CIFAR10", "", "imagenet"])
def test_an_unknown_name_is_an_input_error_that_lists_the_known(name, tmp_path):
    with pytest.raises(InputError, match=f"data set '{name}': .*digits, cifar10, cifar100"):
        load_dataset(name, tmp_path)
    with pytest.raises(InputError, match=f"data set '{name}': .*auto, digits, cifar10, cifar100"):
        resolve_dataset(name, tmp_path)


def test_names_of_the_registry_are_those_of_the_data_sets(tiny, tmp_path):
    write_tiny(tiny, tmp_path)
    for name in ("digits", tiny):
        dataset = load_dataset(name, tmp_path)
        assert dataset.name == name
        assert np.unique(dataset.test.labels).max() < dataset.num_classes
