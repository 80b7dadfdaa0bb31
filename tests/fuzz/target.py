"""What a fuzz target is."""

from collections.abc import Callable
from typing import NamedTuple


class Target(NamedTuple):
    """A reader with the judgement of what it gives.

    Attributes:
        seeds: small valid files, from which the fuzzer starts.
        check: reads a file of these bytes; an InputError is right, any other exception a finding.
    """

    seeds: list[bytes]
    check: Callable[[bytes], object]


class WrongResultError(Exception):
    """A reader gave something else than what its file holds."""


def expect(holds: bool, what: str) -> None:
    """Raise WrongResultError unless something holds."""
    if not holds:
        raise WrongResultError(what)
