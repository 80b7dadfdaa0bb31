"""Weights and checkpoints."""

import io
import json
from pathlib import Path

import torch
from torch import nn

from ffdwv_fast.engine.pretrained import load_pretrained
from ffdwv_fast.engine.teacher import load_teacher
from ffdwv_fast.engine.tensor_file import read_tensors, write_tensors
from tests.fuzz.target import Target, expect

TENSORS = {
    "weight": torch.tensor([[0.5, -1.0, 2.0], [3.0, 4.0, -5.5]]),
    "bias": torch.tensor([1.0, -2.0]),
}
STATE = {"epoch": 3, "done": [1, 2.5]}


def tensor_file(folder: Path) -> Target:
    """A file with a checksum gives what was written; one without, the bytes that it holds."""
    file = folder / "tensors.safetensors"

    def check(data: bytes) -> None:
        file.write_bytes(data)
        tensors, state = read_tensors(file, "--resume")
        if b'"sha256"' in data:
            expect(tensors.keys() == TENSORS.keys() and state == STATE, f"{tensors}, {state}")
            expect(all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS), f"{tensors}")
        else:
            expect(_bytes(tensors) == _stored(data), f"{tensors}")

    return Target(_seeds(file), check)


def teacher(folder: Path) -> Target:
    """A teacher's weights: those of the file, or refused."""
    file = folder / "model.safetensors"

    def check(data: bytes) -> None:
        file.write_bytes(data)
        network = load_teacher(nn.Linear(3, 2), file)
        if b'"sha256"' in data:
            weights = network.state_dict()
            expect(all(torch.equal(weights[name], TENSORS[name]) for name in TENSORS), f"{weights}")

    return Target(_seeds(file), check)


def pretrained(folder: Path) -> Target:
    """Weights of anybody's: a network that is finite as it was, or refused."""
    file = folder / "weights"

    def check(data: bytes) -> None:
        file.write_bytes(data)
        network = nn.Linear(3, 2)
        found = load_pretrained(network, file)
        expect(set(found.taken) | set(found.initial) == TENSORS.keys(), f"{found}")
        expect(all(bool(p.isfinite().all()) for p in network.parameters()), f"{found}")
        expect(str(found).replace("\n", "").isprintable(), f"{found!r}")

    saved = []
    for zipped in (True, False):
        stream = io.BytesIO()
        torch.save(TENSORS, stream, _use_new_zipfile_serialization=zipped)
        saved.append(stream.getvalue())
    return Target([*_seeds(file), *saved], check)


def _seeds(file: Path) -> list[bytes]:
    """With a checksum, and without as another program would write it."""
    from safetensors.torch import save

    write_tensors(file, TENSORS, STATE)
    return [file.read_bytes(), save(TENSORS)]


def _bytes(tensors: dict[str, torch.Tensor]) -> dict[str, bytes]:
    return {name: bytes(t.reshape(-1).view(torch.uint8).tolist()) for name, t in tensors.items()}


def _stored(data: bytes) -> dict[str, bytes]:
    size = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:size])
    header.pop("__metadata__", None)
    places = {name: entry["data_offsets"] for name, entry in header.items()}
    return {name: data[size + begin : size + end] for name, (begin, end) in places.items()}
