"""CIFAR's binary files."""

import re
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np

from ffdwv_fast.data import cifar
from tests.data.samples import tiny_files
from tests.fuzz.target import Target, expect

PIXELS = 3072


def records(name: str, folder: Path) -> Target:
    """A training file of one record beside a sound test file."""
    files, contents = _tiny(name, folder)
    file = folder / files.train[0]

    def check(data: bytes) -> None:
        file.write_bytes(data)
        with patch.dict(cifar.CIFAR, {name: files}):
            train = cifar.read_cifar(name, folder).train
        label_bytes = len(files.label_limits)
        content = np.frombuffer(data, np.uint8)
        expect(len(data) == label_bytes + PIXELS, "another length was accepted")
        expect(train.labels.tolist() == [data[label_bytes - 1]], "another label")
        planes = content[label_bytes:].reshape(3, 32, 32)
        expect(np.array_equal(train.images[0].transpose(2, 0, 1), planes), "other pixels")

    return Target([contents[files.train[0]]], check)


def class_names(folder: Path) -> Target:
    """The file of the class names beside sound records."""
    files, contents = _tiny("cifar10", folder)
    file = folder / files.names_file

    def check(data: bytes) -> None:
        file.write_bytes(data)
        with patch.dict(cifar.CIFAR, {"cifar10": files}):
            cifar.read_cifar("cifar10", folder)
        expect(
            re.findall(rb"[a-z]+", data) == [name.encode() for name in files.class_names],
            "other names",
        )

    return Target([contents[files.names_file], b""], check)


def _tiny(name: str, folder: Path) -> tuple[cifar.CifarFiles, dict[str, bytes]]:
    """The set as one record for training and one for the test, written to the folder."""
    whole = cifar.CIFAR[name]
    train, test = whole.train[:1], whole.test[:1]
    few = replace(
        whole, train=train, test=test, records=dict.fromkeys((*train, *test), 1), fingerprints=None
    )
    contents = {
        file: content[: few.record_bytes] if file in few.records else content
        for file, content in tiny_files(name).items()
        if file in few.records or file == few.names_file
    }
    for file, content in contents.items():
        (folder / file).write_bytes(content)
    return few, contents
