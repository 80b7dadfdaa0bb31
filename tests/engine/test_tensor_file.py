"""Tensors in a file with a checksum."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from ffdwv_fast import InputError
from ffdwv_fast.engine.tensor_file import read_tensors, write_tensors

TENSORS = {
    "float32 with specials": torch.tensor([0.0, -0.0, torch.nan, torch.inf, 1e-45]),
    "bfloat16": torch.randn(3, 5, generator=torch.Generator().manual_seed(0)).bfloat16(),
    "float16": torch.tensor([65504.0, 6e-8], dtype=torch.float16),
    "float64": torch.tensor([1 / 3], dtype=torch.float64),
    "0-d": torch.tensor(2.5),
    "empty": torch.zeros(0, 4),
    "bool": torch.tensor([[True, False], [False, True]]),
    "int64": torch.tensor([2**63 - 1, -(2**63)]),
    "uint8": torch.arange(256, dtype=torch.uint8),
    "channels-last": torch.arange(120.0).view(2, 3, 4, 5).to(memory_format=torch.channels_last),
    "a view": torch.arange(12.0).view(3, 4).t()[1:],
    "a parameter": torch.nn.Parameter(torch.ones(2, 2)),
}


def same_bits(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Of the same shape and dtype, NaN and signs of zero included."""
    raw = [t.detach().contiguous().reshape(-1).view(torch.uint8) for t in (a, b)]
    return (a.dtype, a.shape) == (b.dtype, b.shape) and torch.equal(*raw)


@pytest.mark.parametrize("name", TENSORS)
def test_a_tensor_comes_back_as_it_was(name, tmp_path):
    write_tensors(tmp_path / "file", {name: TENSORS[name]})
    tensors, state = read_tensors(tmp_path / "file", "--out")
    assert same_bits(tensors.pop(name), TENSORS[name])
    assert (tensors, state) == ({}, {})


def test_words_come_back_beside_all_tensors(tmp_path):
    words = {"epoch": 3, "rate": 0.1 + 0.2, "nested": [None, True, {"é": "\u2028"}]}
    write_tensors(tmp_path / "file", TENSORS, words)
    tensors, state = read_tensors(tmp_path / "file", "--out")
    assert state == words
    assert tensors.keys() == TENSORS.keys()
    assert all(same_bits(tensors[name], tensor) for name, tensor in TENSORS.items())


def test_the_same_content_is_the_same_bytes(tmp_path):
    write_tensors(tmp_path / "a", TENSORS, {"epoch": 1})
    write_tensors(tmp_path / "b", dict(reversed(TENSORS.items())), {"epoch": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_other_programs_read_it(tmp_path):
    write_tensors(tmp_path / "file", TENSORS, {"epoch": 1})
    found = load_file(tmp_path / "file")
    assert all(same_bits(found[name], tensor) for name, tensor in TENSORS.items())


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}], ids=repr)
def test_a_file_of_another_program_has_no_checksum_and_is_read(metadata, tmp_path):
    save_file({"weight": TENSORS["bfloat16"]}, tmp_path / "file", metadata)
    tensors, state = read_tensors(tmp_path / "file", "--teacher")
    assert same_bits(tensors["weight"], TENSORS["bfloat16"])
    assert state == {}


@pytest.mark.parametrize(
    "own", ["", "[]", "{}", '{"sha256": 1, "state": 2}', '{"sha256": "", "state": "{}"}']
)
def test_a_checksum_that_is_none_is_refused(own, tmp_path):
    save_file({"weight": torch.ones(2)}, tmp_path / "file", {"ffdwv_fast": own})
    with pytest.raises(InputError, match="is damaged"):
        read_tensors(tmp_path / "file", "--out")


def test_a_file_that_is_replaced_while_it_is_in_use_does_not_change_what_was_read(tmp_path):
    write_tensors(tmp_path / "file", {"weight": torch.ones(1000)})
    tensors, _ = read_tensors(tmp_path / "file", "--out")
    write_tensors(tmp_path / "file", {"weight": torch.zeros(1000)})
    assert torch.equal(tensors["weight"], torch.ones(1000))


def test_what_cannot_be_read_is_one_line(tmp_path):
    for name, content in (("missing", None), ("empty", b""), ("pickle", b"\x80\x04K\x01.")):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=rf"^--out .*{name}: cannot be read \([^\n]*\)"):
            read_tensors(tmp_path / name, "--out")
