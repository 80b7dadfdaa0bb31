"""gensim's own format is a pickle, which can run any code: a rehearsal on harmless stand-ins.

Only a file whose pickle names nothing but what a ``KeyedVectors`` file needs, and that has gensim
open no further pickle beside it, is handed to gensim.
"""

import pickle
import re
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ffdwv_fast.errors import InputError

_GENSIM_CLASSES = {
    ("gensim.models.keyedvectors", "KeyedVectors"),
    ("gensim.models.keyedvectors", "Word2VecKeyedVectors"),
    ("gensim.models.keyedvectors", "EuclideanKeyedVectors"),
    ("gensim.models.keyedvectors", "Vocab"),
    ("gensim.models.keyedvectors", "CompatVocab"),
    ("gensim.models.fasttext", "FastTextKeyedVectors"),
}
_ARRAY_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")
_BUFFER_MODULES = ("numpy.core.numeric", "numpy._core.numeric")
_HARMLESS_GLOBALS = {
    *((module, name) for module in ("builtins", "__builtin__") for name in ("set", "frozenset")),
    ("numpy", "ndarray"),
    *((module, name) for module in _ARRAY_MODULES for name in ("_reconstruct", "scalar")),
    *((module, "_frombuffer") for module in _BUFFER_MODULES),
}
_WHOLE_MODELS = "gensim.models."


def check(stream: BinaryIO, path: Path) -> None:
    """Rehearse the pickle of a ``KeyedVectors.save`` file.

    Args:
        stream: The uncompressed pickle.
        path: For error messages.

    Raises:
        InputError: For a pickle that names another global, or is no KeyedVectors, or asks for
            further pickles.
    """
    rehearsal = _Rehearsal(stream, path)
    root = rehearsal.load()
    if not isinstance(root, _StandIn):
        raise InputError(f"{path} is a pickle, but of no gensim KeyedVectors")
    for instance in rehearsal.instances:
        state = vars(instance)
        if state.get("__scipys") or state.get("__recursive_saveloads"):
            raise InputError(f"{path} refers to further pickles, as no KeyedVectors does: refused")
        beside = state.get("__numpys") or []
        if not all(isinstance(name, str) and name.isidentifier() for name in beside):
            raise InputError(f"{path} refers to arrays outside its folder: refused")


def _encode_latin1(text: str, encoding: str) -> bytes:
    """How pickles of protocol 2 spell bytes; other codecs are not needed."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"codec {encoding!r} is not needed")
    return text.encode("latin1")


def _plain_dtype(name: str, *options: object) -> np.dtype:
    """Numbers and references only: the state of a structured type could break memory safety."""
    if not re.fullmatch(r"[<>|=]?([fiu][1248]|b1|O8?)", name):
        raise pickle.UnpicklingError(f"array type {name!r} is not needed")
    return np.dtype(name, *options)


_LIMITED_GLOBALS = {("_codecs", "encode"): _encode_latin1, ("numpy", "dtype"): _plain_dtype}


class _FrozenClass(type):
    """A class whose attributes a pickle cannot set."""

    def __setattr__(cls, name, value):
        raise pickle.UnpicklingError(f"attribute {name!r} set on a class")


class _StandIn(metaclass=_FrozenClass):
    """Takes the place of a gensim object: keeps its state and does nothing."""

    def __setstate__(self, state):
        if not isinstance(state, dict):
            raise pickle.UnpicklingError("state is no dictionary")
        self.__dict__.update(state)


class _Rehearsal(pickle.Unpickler):
    def __init__(self, stream: BinaryIO, path: Path):
        super().__init__(stream, encoding="latin1")  # as gensim reads files of Python 2
        self._path = path
        self.instances: list[_StandIn] = []

    def find_class(self, module: str, name: str):
        if (module, name) in _GENSIM_CLASSES:
            return self._stand_in_class(name)
        if (module, name) in _HARMLESS_GLOBALS:
            return super().find_class(module, name)
        if (module, name) in _LIMITED_GLOBALS:
            return _LIMITED_GLOBALS[module, name]
        called = repr(f"{module}.{name}")[1:-1]  # a damaged name may hold any character
        if module.startswith(_WHOLE_MODELS):
            raise InputError(
                f"{self._path} is a whole model ({called}), not word vectors: load it with "
                f"gensim if you trust it, save model.wv, and give that file"
            )
        raise InputError(
            f"{self._path} is a pickle that calls {called}, which no KeyedVectors file "
            f"needs: refused, since it could run any code"
        )

    def _stand_in_class(self, name: str) -> type:
        instances = self.instances

        def new(cls):
            instance = object.__new__(cls)
            instances.append(instance)
            return instance

        return _FrozenClass(name, (_StandIn,), {"__new__": new})
