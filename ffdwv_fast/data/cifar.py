"""CIFAR-10 and CIFAR-100 from the official binary files (https://www.cs.toronto.edu/~kriz/).

The binary layout, not the pickled "python" one: a pickle runs code when it is read. A record is one
label byte (CIFAR-100: a superclass byte and a class byte) and 3,072 pixel bytes: the red, green
and blue planes of 32 x 32, row by row.
"""

import hashlib
import os.path
import warnings
import zlib
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np

from ffdwv_fast.data import download
from ffdwv_fast.data.class_names import (
    CIFAR10_CLASSES,
    CIFAR100_CLASSES,
    CIFAR100_SUPERCLASSES,
)
from ffdwv_fast.data.dataset import Dataset, ImageSet
from ffdwv_fast.errors import InputError

SIDE = 32
PIXEL_BYTES = 3 * SIDE * SIDE


@dataclass(frozen=True)
class CifarFiles:
    """One published data set: its files, their contents, its archive.

    Attributes:
        folder: the folder inside the archive.
        train: the training files' names, in the order in which they are read.
        test: the test files' names.
        records: how many records every file has, by name.
        label_limits: how many values each label byte of a record can have; the last is the class.
        names_file: the text file with one class name a line.
        class_names: what that file says.
        superclasses: the names of each superclass's classes, in the order of its label byte.
        mean: of the training images, per channel, in units of pixel / 255.
        std: likewise.
        url: the archive's address.
        sha256: the archive's checksum.
        fingerprints: `fingerprint` of all training and of all test records; None: not checked.
    """

    folder: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    records: dict[str, int]
    label_limits: tuple[int, ...]
    names_file: str
    class_names: tuple[str, ...]
    superclasses: dict[str, tuple[str, ...]] | None
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    url: str
    sha256: str
    fingerprints: tuple[str, str] | None

    @property
    def record_bytes(self) -> int:
        """The size of one record."""
        return len(self.label_limits) + PIXEL_BYTES

    @property
    def archive_name(self) -> str:
        """The archive's file name."""
        return self.url.rsplit("/", 1)[1]

    @property
    def superclass_of(self) -> tuple[int, ...] | None:
        """The superclass of each class, or None."""
        if self.superclasses is None:
            return None
        number = {name: i for i, names in enumerate(self.superclasses.values()) for name in names}
        return tuple(number[name] for name in self.class_names)


CIFAR10_TRAIN = tuple(f"data_batch_{number}.bin" for number in range(1, 6))

CIFAR: dict[str, CifarFiles] = {
    "cifar10": CifarFiles(
        folder="cifar-10-batches-bin",
        train=CIFAR10_TRAIN,
        test=("test_batch.bin",),
        records=dict.fromkeys((*CIFAR10_TRAIN, "test_batch.bin"), 10_000),
        label_limits=(10,),
        names_file="batches.meta.txt",
        class_names=CIFAR10_CLASSES,
        superclasses=None,
        mean=(0.49140, 0.48216, 0.44653),
        std=(0.24703, 0.24349, 0.26159),
        url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        fingerprints=(
            "a1ebe7edf8231705b4b9342a3cb04bcccb0534f11e6aa301a6beda0fa94a3eb1",
            "9ff465cbc48b04b7d0d5c48a526ea487e3e5eb095cc324dee5dcb48b3ce1d348",
        ),
    ),
    "cifar100": CifarFiles(
        folder="cifar-100-binary",
        train=("train.bin",),
        test=("test.bin",),
        records={"train.bin": 50_000, "test.bin": 10_000},
        label_limits=(20, 100),
        names_file="fine_label_names.txt",
        class_names=CIFAR100_CLASSES,
        superclasses=CIFAR100_SUPERCLASSES,
        mean=(0.50708, 0.48655, 0.44092),
        std=(0.26733, 0.25644, 0.27615),
        url="https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
        sha256="58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
        fingerprints=(
            "44b534b9ba18da799d163568ef6831144c160514fbccf9adcf4fccb41bc012a6",
            "f671c190700cba2a41e737aa8aa047cefe1d38f9df56f5b620d43ef5586cd1da",
        ),
    ),
}


def find_cifar(name: str, data_dir: Path | str) -> Path | None:
    """Where the unpacked files are: a folder in ``data_dir``, ``data_dir`` itself, or None.

    Args:
        name: "cifar10" or "cifar100".
        data_dir: the folder to look in.
    """
    # os.path: a folder that may not be read is one where nothing is found, not an exception.
    files, data_dir = CIFAR[name], Path(data_dir)
    if os.path.isdir(data_dir / files.folder):
        return data_dir / files.folder
    is_that_folder = all(os.path.isfile(data_dir / file) for file in files.records)
    return data_dir if is_that_folder else None


def find_archive(name: str, data_dir: Path | str) -> Path | None:
    """Where the archive is in ``data_dir``, or None.

    Args:
        name: "cifar10" or "cifar100".
        data_dir: the folder to look in.
    """
    archive = Path(data_dir) / CIFAR[name].archive_name
    return archive if os.path.isfile(archive) else None


def load_cifar(name: str, data_dir: Path | str) -> Dataset:
    """Read a data set under ``data_dir``, downloading and unpacking its archive if it is not there.

    Args:
        name: "cifar10" or "cifar100".
        data_dir: the folder that has, or is to have, the files.

    Returns:
        50,000 training and 10,000 test images, uint8 [N, 32, 32, 3].

    Raises:
        InputError: a failed download, a bad archive, or a bad file; the message says which and why.
    """
    files = CIFAR[name]
    folder = find_cifar(name, data_dir)
    if folder is None:
        folder = Path(data_dir) / files.folder
        archive = Path(data_dir) / files.archive_name
        instead = "use --dataset digits, which needs no download"
        download.fetch(files.url, files.sha256, archive, instead)
        sizes = {file: files.record_bytes * count for file, count in files.records.items()}
        download.unpack(archive, folder, {**sizes, files.names_file: None})
    return read_cifar(name, folder)


def read_cifar(name: str, folder: Path) -> Dataset:
    """Read and check the files of a data set.

    Args:
        name: "cifar10" or "cifar100".
        folder: the folder that has the files.

    Raises:
        InputError: a file is missing, has the wrong size or a label byte out of range, the
            class names are others, or an image or a label is not as published.
    """
    files = CIFAR[name]
    _check_class_names(files, folder / files.names_file)
    train_fingerprint, test_fingerprint = files.fingerprints or (None, None)
    return Dataset(
        name=name,
        class_names=files.class_names,
        train=_read_files(files, folder, files.train, train_fingerprint),
        test=_read_files(files, folder, files.test, test_fingerprint),
        mean=files.mean,
        std=files.std,
        padding=4,
        flip=True,
        superclasses=files.superclass_of,
    )


def fingerprint(records: np.ndarray) -> str:
    """What tells records from damaged ones, whatever their order and the files they are in.

    A change of up to four bytes in a row of one record is always noticed, any other but for once
    in 2**32 times; records made to deceive are not, which the archive's checksum is for.

    Args:
        records: uint8 [N, record_bytes], contiguous.

    Returns:
        The SHA-256, in hexadecimal, of the records' CRC-32s, sorted, four bytes each.
    """
    sums = np.fromiter(map(zlib.crc32, records), np.uint32, len(records))
    return hashlib.sha256(np.sort(sums).astype("<u4")).hexdigest()


def _read_files(
    files: CifarFiles, folder: Path, names: tuple[str, ...], expected: str | None
) -> ImageSet:
    records = np.concatenate([_read_records(files, folder / name) for name in names])
    if expected not in (None, fingerprint(records)):
        which = names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"
        # No refusal: sets with other labels are studied too.
        warnings.warn(
            f"{folder}: images or labels in {which} are not those published: damaged, or changed "
            f"on purpose; if not, {_remedy(files)}",
            stacklevel=3,
        )
    label_bytes = len(files.label_limits)
    planes = records[:, label_bytes:].reshape(-1, 3, SIDE, SIDE)
    images = np.ascontiguousarray(planes.transpose(0, 2, 3, 1))
    return ImageSet(images, records[:, label_bytes - 1].astype(np.int64))


def _read_records(files: CifarFiles, path: Path) -> np.ndarray:
    """The records of one file, uint8 [records, record_bytes]."""
    count, size = files.records[path.name], files.record_bytes
    try:
        content = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; {_remedy(files)}") from error
    if len(content) != count * size:
        raise InputError(
            f"{path} has {len(content)} bytes, expected {count} records of {size} bytes = "
            f"{count * size}; {_remedy(files)}"
        )
    records = content.reshape(count, size)
    for column, limit in enumerate(files.label_limits):
        bad = np.flatnonzero(records[:, column] >= limit)
        if len(bad):
            raise InputError(
                f"{path} has the label byte {records[bad[0], column]} in record {bad[0]} "
                f"(counted from 0), expected 0 to {limit - 1}; {_remedy(files)}"
            )
    return records


def _check_class_names(files: CifarFiles, path: Path) -> None:
    if not path.exists():
        return
    try:
        found = path.read_text(encoding="utf-8", errors="replace").split()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; {_remedy(files)}") from error
    for line, (name, right) in enumerate(zip_longest(found, files.class_names)):
        if name != right:
            raise InputError(
                f"{path} has {name!r} as name {line} (counted from 0), expected {right!r}; "
                f"{_remedy(files)}"
            )


def _remedy(files: CifarFiles) -> str:
    return f"put a fresh copy from {files.url} in its place"
