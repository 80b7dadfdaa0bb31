"""Tensors and a few words about them in one file: safetensors with a checksum.

Nothing in such a file is executed: it is a table of JSON and the bytes of the tensors
(https://github.com/huggingface/safetensors). The format has no checksum of its own, so one is kept
among its metadata.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ffdwv_fast.atomic_file import replaced_file
from ffdwv_fast.errors import InputError, first_line

KEY = "ffdwv_fast"  # one entry of the metadata, as several would have no fixed order


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], state: Mapping[str, object] | None = None
) -> None:
    """Write a file so that an interruption leaves all of it or what was there before.

    Args:
        path: its folder exists.
        tensors: on any device; their strides are not kept.
        state: what JSON can hold, with finite numbers.

    Raises:
        OSError: the file cannot be written.
    """
    from safetensors.torch import save

    plain = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    text = json.dumps(state or {})
    content = save(plain, {KEY: json.dumps({"sha256": _digest(plain, text), "state": text})})
    with replaced_file(path) as file:
        file.write(content)


def read_tensors(
    path: Path, option: str, advice: str = "take another file"
) -> tuple[dict[str, Tensor], dict[str, object]]:
    """What `write_tensors` has written, or the tensors of another safetensors file.

    Args:
        path: the file.
        option: begins the message of an error.
        advice: ends it: what to do.

    Raises:
        InputError: the file cannot be read, is cut short or has changed since it was written. A
            file of another program, which has no checksum, is only checked for its form.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, ValueError) as error:
        reason = first_line(error)
        raise InputError(f"{option} {path}: cannot be read ({reason}); {advice}") from None
    if KEY not in metadata:
        return tensors, {}
    try:
        own = json.loads(metadata[KEY])
        if own["sha256"] == _digest(tensors, own["state"]):
            return tensors, json.loads(own["state"])
    except (ValueError, TypeError, KeyError, AttributeError):
        pass
    raise InputError(f"{option} {path}: is damaged (its checksum is another); {advice}")


def _digest(tensors: Mapping[str, Tensor], text: str) -> str:
    """SHA-256 of everything that is in a file, in hexadecimal digits."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)} ".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
