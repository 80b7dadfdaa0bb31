"""The structure of a fastText ``.bin`` file, walked before gensim reads it.

gensim loops for ever on a vocabulary that is cut off and misreads quantised models.
Layout: https://github.com/facebookresearch/fastText/blob/main/src/fasttext.cc (saveModel).
"""

import struct
from pathlib import Path
from typing import BinaryIO

from ffdwv_fast.errors import InputError
from ffdwv_fast.semantics.byte_reader import ByteReader

MAGIC = (793712314).to_bytes(4, "little")

_LONGEST_WORD = 1 << 16
_MAGIC_AND_VERSION = struct.Struct("<2i")
# dim, ws, epoch, min_count, neg, word_ngrams, loss, model, bucket, minn, maxn, lr_update_rate; t
_TRAINING = struct.Struct("<12id")
_VOCABULARY = struct.Struct("<3iq")  # size, words, labels; tokens
_PRUNED = struct.Struct("<q")
_PRUNED_PAIR = struct.Struct("<2i")
_COUNT_AND_TYPE = struct.Struct("<qb")
_QUANTISED = struct.Struct("<?")
_MATRIX = struct.Struct("<2q")  # rows, columns


def is_fasttext(head: bytes) -> bool:
    """Whether a file starts like a fastText model, of today or of 2016 (which has no magic)."""
    if head.startswith(MAGIC):
        return True
    if len(head) < _TRAINING.size:
        return False
    dim, ws, epoch, min_count, _, _, loss, model, bucket, minn, maxn, _, _ = _TRAINING.unpack(
        head[: _TRAINING.size]
    )
    sizes = 0 < dim <= 10_000 and 0 < ws <= 1000 and min(epoch, min_count, bucket) >= 0
    return sizes and 1 <= loss <= 4 and 1 <= model <= 3 and 0 <= minn <= maxn <= 1000


def check(stream: BinaryIO, path: Path, file_size: int) -> None:
    """Refuse what gensim cannot read.

    Args:
        stream: The file from its start.
        path: For error messages.
        file_size: Its size in bytes.

    Raises:
        InputError: For a supervised or quantised model and for sizes that contradict each other.
        CutOffError: For a file that ends too early.
    """
    reader = ByteReader(stream)
    of_today = reader.peek(len(MAGIC)) == MAGIC
    if of_today:
        _unpack(reader, _MAGIC_AND_VERSION)
    dim = _unpack(reader, _TRAINING)[0]
    words = _pass_vocabulary(reader, path, of_today)
    if of_today and _unpack(reader, _QUANTISED)[0]:
        raise InputError(f"{path} is a quantised fastText model (.ftz): give the full .bin")
    rows, columns = _unpack(reader, _MATRIX)
    if columns != dim or dim <= 0 or rows < words:
        raise InputError(f"{path}: its header contradicts itself; the file is damaged")
    if reader.taken + 4 * rows * columns > file_size:
        raise InputError(
            f"{path} is cut off: {rows} vectors of width {columns} do not fit into its "
            f"{file_size} bytes; get it again"
        )


def _pass_vocabulary(reader: ByteReader, path: Path, of_today: bool) -> int:
    size, words, labels, _ = _unpack(reader, _VOCABULARY)
    if labels > 0:
        raise InputError(f"{path} is a supervised fastText model: give one of word vectors")
    if size != words or size <= 0:
        raise InputError(f"{path}: its header contradicts itself; the file is damaged")
    pruned = _unpack(reader, _PRUNED)[0] if of_today else 0
    for _ in range(size):
        reader.until(b"\0", _LONGEST_WORD)
        reader.take(_COUNT_AND_TYPE.size)
    for _ in range(pruned):
        reader.take(_PRUNED_PAIR.size)
    return words


def _unpack(reader: ByteReader, layout: struct.Struct) -> tuple:
    return layout.unpack(reader.take(layout.size))
