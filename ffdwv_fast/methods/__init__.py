"""Training methods by name: a new one is a file and a line here."""

from ffdwv_fast.methods.ffdwv import FFDWV
from ffdwv_fast.methods.method import Method
from ffdwv_fast.methods.vanilla import Vanilla

METHODS: dict[str, type[Method]] = {
    "ffdwv": FFDWV,
    "vanilla": Vanilla,
}

__all__ = ["METHODS", "Method"]
