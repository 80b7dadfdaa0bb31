"""gensim's own format is a pickle, which can run any code: a rehearsal on harmless stand-ins.

Only a file whose pickle names nothing but what a ``KeyedVectors`` file needs, and that has gensim
open no further pickle beside it, is handed to gensim.
"""

import pickle
import pickletools
from pathlib import Path
from typing import BinaryIO

from ffdwv_fast.errors import InputError
from ffdwv_fast.semantics.native_arrays import (
    Array,
    FromBuffer,
    FrozenClass,
    PlainType,
    Reconstruct,
    Scalar,
)

_GENSIM_CLASSES = {
    ("gensim.models.keyedvectors", "KeyedVectors"),
    ("gensim.models.keyedvectors", "Word2VecKeyedVectors"),
    ("gensim.models.keyedvectors", "EuclideanKeyedVectors"),
    ("gensim.models.keyedvectors", "Vocab"),
    ("gensim.models.keyedvectors", "CompatVocab"),
    ("gensim.models.fasttext", "FastTextKeyedVectors"),
}
_SETS = {(m, name) for m in ("builtins", "__builtin__") for name in ("set", "frozenset")}
_WHOLE_MODELS = "gensim.models."
_PIECE_BYTES = 1 << 24


def check(stream: BinaryIO, path: Path) -> None:
    """Rehearse the pickle of a ``KeyedVectors.save`` file.

    Args:
        stream: The uncompressed pickle, which can be wound back.
        path: For error messages.

    Raises:
        InputError: For a pickle that names another global, or is no KeyedVectors, or asks for
            further pickles.
    """
    _refuse_large_memo(stream, path)
    stream.seek(0)
    rehearsal = _Rehearsal(_InPieces(stream), path)
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


class _InPieces:
    """A stream that sets no memory aside for a length that a damaged file only claims to have."""

    def __init__(self, stream: BinaryIO):
        self._stream = stream
        self.readline = stream.readline

    def read(self, size: int) -> bytes:
        pieces, left = [], size
        while left > 0 and (piece := self._stream.read(min(left, _PIECE_BYTES))):
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)


def _refuse_large_memo(stream: BinaryIO, path: Path) -> None:
    """Refuse a memo index for which the unpickler would fill up to 64 GB with zeros."""
    operations = pickletools.genops(_InPieces(stream))
    for count, (operation, argument, _) in enumerate(operations, 1):
        # Whoever pickles numbers what has gone before, so that an index is below their number.
        if operation.name in ("PUT", "BINPUT", "LONG_BINPUT") and argument > count:
            raise InputError(f"{path} is damaged: its pickle counts to {argument} at once")


class _EncodeLatin1(metaclass=FrozenClass):
    """How pickles of protocol 2 spell bytes; other codecs are not needed."""

    def __new__(cls, text: str, encoding: str):
        if encoding != "latin1":
            raise pickle.UnpicklingError(f"codec {encoding!r} is not needed")
        return text.encode("latin1")


_CHECKED = {
    ("_codecs", "encode"): _EncodeLatin1,
    ("numpy", "dtype"): PlainType,
    ("numpy", "ndarray"): Array,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): Reconstruct for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): Scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): FromBuffer for core in ("core", "_core")},
}


class _StandIn(metaclass=FrozenClass):
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
        if (module, name) in _SETS:
            return super().find_class(module, name)
        if (module, name) in _CHECKED:
            return _CHECKED[module, name]
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

        return FrozenClass(name, (_StandIn,), {"__new__": new})
