"""Training methods by name: a new one is a file and a line here."""

from ffdwv_fast.methods.dml import DML
from ffdwv_fast.methods.double_ce import DoubleCE
from ffdwv_fast.methods.ffdwv import FFDWV
from ffdwv_fast.methods.ffdwv_permuted import FFDWVPermuted
from ffdwv_fast.methods.ffdwv_reverse import FFDWVReverse
from ffdwv_fast.methods.kd import KD
from ffdwv_fast.methods.label_smoothing import LabelSmoothing
from ffdwv_fast.methods.method import Method
from ffdwv_fast.methods.vanilla import Vanilla

METHODS: dict[str, type[Method]] = {
    "dml": DML,
    "double-ce": DoubleCE,
    "ffdwv": FFDWV,
    "ffdwv-permuted": FFDWVPermuted,
    "ffdwv-reverse": FFDWVReverse,
    "kd": KD,
    "label-smoothing": LabelSmoothing,
    "vanilla": Vanilla,
}

__all__ = ["METHODS", "Method"]
