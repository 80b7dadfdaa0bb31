"""Stand-ins for what a pickled numpy array calls: they check the arguments and make no array.

NumPy trusts a pickle: a dtype's state can change a type for the whole process (``float32`` too, if
the pickle does not ask for a copy of it), and an array's state can leave memory unwritten. So every
argument is compared with what ``ndarray.__reduce__`` and ``dtype.__reduce__`` give
(https://numpy.org/doc/stable/reference/generated/numpy.ndarray.__reduce__.html).
"""

import math
import pickle
import re

_PLAIN_TYPE = re.compile(r"[<>|=]?(?:[fiu]([1248])|(b)1|(O)8?)")
_OBJECTS_FLAGS = 0x3F  # of dtype("O"): reference counts and the like; 0 for numbers


class FrozenClass(type):
    """A class whose attributes a pickle cannot set."""

    def __setattr__(cls, name, value):
        raise pickle.UnpicklingError(f"attribute {name!r} set on a class")


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise pickle.UnpicklingError(f"{what} is not needed")


def _bytes_in(raw: object) -> int | None:
    """How many bytes a field holds; pickles of Python 2 have text, a character a byte."""
    return len(raw) if isinstance(raw, bytes | bytearray | str) else None


class PlainType(metaclass=FrozenClass):
    """``numpy.dtype`` of numbers and references; a structured one could break memory safety."""

    __slots__ = ("itemsize",)  # in bytes; None for references

    def __init__(self, name: str, align: object = False, copy: object = False):
        plain = _PLAIN_TYPE.fullmatch(name)
        _require(plain is not None, f"array type {name!r}")
        _require(align in (0, False) and copy in (1, True), f"array type {name!r} without a copy")
        size, is_bool, _ = plain.groups()
        self.itemsize = int(size) if size else 1 if is_bool else None

    def __setstate__(self, state: tuple) -> None:
        _, order, *structure, flags = state
        _require(order in ("<", ">", "|", "="), f"byte order {order!r}")
        _require(structure == [None, None, None, -1, -1], f"array type with {structure}")
        expected = _OBJECTS_FLAGS if self.itemsize is None else 0
        _require(flags == expected, f"array type with flags {flags}")

    def check_content(self, shape: tuple, content: object) -> None:
        """Refuse a content of another length than that of an array of this shape."""
        sizes = isinstance(shape, tuple) and all(isinstance(n, int) and n >= 0 for n in shape)
        _require(sizes, f"array shape {shape!r}")
        is_list = isinstance(content, list)
        found = len(content) if is_list else _bytes_in(content)
        expected = math.prod(shape) * (self.itemsize or 1)
        right = is_list == (self.itemsize is None) and found == expected
        _require(right, f"array of shape {shape} with {found} values or bytes")


class Array(metaclass=FrozenClass):
    """``numpy.ndarray``, named as the first argument of :class:`Reconstruct` and no more."""

    __slots__ = ()

    def __new__(cls, *arguments: object):
        raise pickle.UnpicklingError("a call of numpy.ndarray is not needed")

    def __setstate__(self, state: tuple) -> None:
        version, shape, kind, fortran, content = state
        _require(version == 1 and fortran in (0, 1), f"array state {version!r}, {fortran!r}")
        _require(isinstance(kind, PlainType), "array of no plain type")
        kind.check_content(shape, content)


class Reconstruct(metaclass=FrozenClass):
    """``_reconstruct(ndarray, (0,), b"b")``: an empty array, whose state follows."""

    def __new__(cls, array: type, shape: tuple, code: bytes | str):
        _require(array is Array and shape == (0,) and code in (b"b", "b"), "another kind of array")
        return object.__new__(Array)


class FromBuffer(metaclass=FrozenClass):
    """``_frombuffer(bytes, dtype, shape, order)`` of protocol 5."""

    def __new__(cls, content: bytes, kind: PlainType, shape: tuple, order: str):
        _require(isinstance(kind, PlainType) and kind.itemsize is not None, "array of no numbers")
        _require(order in ("C", "F"), f"array order {order!r}")
        kind.check_content(shape, content)
        return object.__new__(Array)


class Scalar(metaclass=FrozenClass):
    """``scalar(dtype, bytes)``: one number."""

    def __new__(cls, kind: PlainType, content: bytes):
        _require(isinstance(kind, PlainType) and kind.itemsize is not None, "scalar of no number")
        kind.check_content((), content)
        return object.__new__(cls)
