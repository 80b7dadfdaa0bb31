"""Readers with a fault on purpose."""

from pathlib import Path

from ffdwv_fast.errors import InputError
from tests.fuzz.target import Target


def error(folder: Path) -> Target:
    """Fails on one input in 2 ** 24, which only coverage leads to."""

    def check(data: bytes) -> None:
        if data[:1] == b"F" and data[1:2] == b"U" and data[2:3] == b"Z":
            raise IndexError("planted")
        raise InputError("no magic")

    return Target([b"seed"], check)


def hang(folder: Path) -> Target:
    """Does not end for inputs of more than eight bytes."""

    def check(data: bytes) -> None:
        while len(data) > 8:
            pass

    return Target([b"seed"], check)


def growth(folder: Path) -> Target:
    """Keeps 10 KB of every input."""
    kept = []
    return Target([b"seed"], lambda data: kept.append(bytearray(10_000)))
