"""Small data sets, in memory, as files and as archives."""

import hashlib
import io
import tarfile
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from ffdwv_fast.data import cifar
from ffdwv_fast.data.dataset import Dataset, ImageSet

TINY_RECORDS = 20


def random_images(n: int, side: int, channels: int, classes: int) -> ImageSet:
    rng = np.random.default_rng(n)
    images = rng.integers(0, 256, (n, side, side, channels), dtype=np.uint8)
    return ImageSet(images, rng.integers(0, classes, n))


def cifar_like(n: int) -> Dataset:
    images = random_images(n, 32, 3, 10)
    mean, std = (0.4914, 0.48216, 0.44653), (0.24703, 0.24349, 0.26159)
    return Dataset("cifar-like", tuple("abcdefghij"), images, images, mean, std, 4, True)


def digits_like(n: int) -> Dataset:
    images = random_images(n, 8, 1, 10)
    return Dataset("digits-like", tuple("abcdefghij"), images, images, (0.305,), (0.376,), 1, False)


def expect_tiny(monkeypatch, name: str) -> None:
    """Make the reader expect TINY_RECORDS records in every file of a CIFAR set."""
    files = cifar.CIFAR[name]
    records = dict.fromkeys(files.records, TINY_RECORDS)
    few = replace(files, records=records, fingerprints=tiny_fingerprints(name))
    monkeypatch.setitem(cifar.CIFAR, name, few)


def tiny_fingerprints(name: str) -> tuple[str, str]:
    """Of the records of `tiny_files`, computed by another hand than the reader's."""
    files, contents = cifar.CIFAR[name], tiny_files(name)
    sums = [
        sorted(
            zlib.crc32(contents[file][start : start + files.record_bytes])
            for file in part
            for start in range(0, len(contents[file]), files.record_bytes)
        )
        for part in (files.train, files.test)
    ]
    train, test = (
        hashlib.sha256(b"".join(s.to_bytes(4, "little") for s in part)).hexdigest() for part in sums
    )
    return train, test


def tiny_files(name: str) -> dict[str, bytes]:
    """The contents of a tiny set's files, by name: valid labels, random pixels."""
    files = cifar.CIFAR[name]
    rng = np.random.default_rng(1)
    contents = {}
    for file in files.records:
        labels = [rng.integers(0, limit, (TINY_RECORDS, 1)) for limit in files.label_limits]
        pixels = rng.integers(0, 256, (TINY_RECORDS, 3072))
        contents[file] = np.concatenate([*labels, pixels], axis=1).astype(np.uint8).tobytes()
    contents[files.names_file] = ("\n".join(files.class_names) + "\n\n").encode()
    return contents


def write_tiny(name: str, data_dir: Path) -> Path:
    """Write a tiny set into ``data_dir``; returns its folder."""
    folder = data_dir / cifar.CIFAR[name].folder
    folder.mkdir(parents=True)
    for file, content in tiny_files(name).items():
        (folder / file).write_bytes(content)
    return folder


def make_archive(members: dict[str, bytes], *special: tarfile.TarInfo) -> bytes:
    """A .tar.gz of plain files, and of special members without content."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for member in special:
            archive.addfile(member)
    return buffer.getvalue()


def tiny_archive(name: str, *special: tarfile.TarInfo, extra: dict[str, bytes] | None = None):
    """The archive of a tiny set, as it is published, with more members if asked for."""
    folder = cifar.CIFAR[name].folder
    top = tarfile.TarInfo(folder)
    top.type = tarfile.DIRTYPE
    members = {f"{folder}/{file}": content for file, content in tiny_files(name).items()}
    return make_archive(members | (extra or {}), top, *special)


def publish(monkeypatch, name: str, content: bytes, url: str | None = None) -> None:
    """Make ``content`` the official archive of a set, published at ``url``."""
    changes = {"sha256": hashlib.sha256(content).hexdigest()}
    if url is not None:
        changes["url"] = url
    monkeypatch.setitem(cifar.CIFAR, name, replace(cifar.CIFAR[name], **changes))
