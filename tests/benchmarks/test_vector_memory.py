"""The memory that a vector file takes, bounded; the command's defaults are the full size."""

from argparse import Namespace

import pytest

from benchmarks import vector_memory
from ffdwv_fast.errors import InputError


def test_a_large_file_is_not_held_in_memory(tmp_path):
    args = Namespace(words=60_000, width=300, format="word2vec-binary", folder=tmp_path)
    first, cached = vector_memory.measure(args)
    assert first["file_bytes"] > 72e6
    assert first["peak_bytes"] - first["import_bytes"] < 30e6
    assert cached["peak_bytes"] - cached["import_bytes"] < 10e6
    assert list(tmp_path.iterdir()) == []


def test_what_is_read_wrongly_is_no_measurement(tmp_path, monkeypatch):
    def read_wrongly(file, cache, names):
        return {"sums": [0.0] * len(names)}

    monkeypatch.setattr(vector_memory, "_in_a_process", read_wrongly)
    args = Namespace(words=500, width=5, format="word2vec-text", folder=tmp_path)
    with pytest.raises(InputError, match="not what was written"):
        vector_memory.measure(args)
    assert list(tmp_path.iterdir()) == []
