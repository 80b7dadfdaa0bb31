"""Weights of a file for a network that is going to be trained on."""

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ffdwv_fast.engine.tensor_file import read_tensors
from ffdwv_fast.errors import InputError, first_line, printable

ADVICE = "give a safetensors file, or a state dict that torch.save has written"
# Under what training programs keep a state dict, and what they put before its names.
WRAPPERS = ("state_dict", "model")
PREFIXES = ("module.", "_orig_mod.")


class Pretrained(NamedTuple):
    """What a network has of a file.

    Attributes:
        file: the file.
        taken: names of the network's tensors that have the file's values.
        initial: of its other tensors, by name, why they do not.
        unused: names of the file's tensors that the network has no place for.
    """

    file: str
    taken: tuple[str, ...]
    initial: Mapping[str, str]
    unused: tuple[str, ...]

    def __str__(self) -> str:
        """All of it for a person; what is not named is taken."""
        count = len(self.taken) + len(self.initial)
        text = f"pretrained: {len(self.taken)} of the network's {count} tensors from {self.file}"
        if self.initial:
            kept = (f"{name} ({reason})" for name, reason in self.initial.items())
            text += f"\n  not taken: {', '.join(kept)}"
        if self.unused:
            text += f"\n  in the file alone: {', '.join(map(printable, self.unused))}"
        return text


def load_pretrained(network: nn.Module, file: Path) -> Pretrained:
    """Give a network what fits of a file: tensors of the same name and shape.

    Of a layer, so of the classifier, either every tensor that the file has is taken or none.

    Args:
        network: changed in place.
        file: safetensors, or a state dict of torch.save, which is read without running anything.

    Raises:
        InputError: the file cannot be read, none of the network's parameters is in it, or one is
            not finite.
    """
    own, theirs = network.state_dict(), _tensors(file)
    initial = {
        name: _difference(tensor, theirs.get(name))
        for name, tensor in own.items()
        if name not in theirs or not _fits(tensor, theirs[name])
    }
    broken = {_layer(name) for name in initial if name in theirs}
    for name in own:
        if name not in initial and _layer(name) in broken:
            initial[name] = "its layer does not fit"
    taken = tuple(name for name in own if name not in initial)
    if not set(taken).intersection(name for name, _ in network.named_parameters()):
        raise InputError(
            f"--pretrained {file}: none of its {len(theirs)} tensors has name and shape of one of "
            f"the network's parameters ({_examples(theirs)} there, {_examples(own)} here); take "
            "the weights of the same network"
        )
    values = {name: theirs[name].to(own[name].dtype) for name in taken}
    for name, value in values.items():
        if not value.isfinite().all():
            raise InputError(
                f"--pretrained {file}: {name} is not finite everywhere; take another file"
            )
    with torch.no_grad():
        for name, value in values.items():
            own[name].copy_(value)
    unused = tuple(name for name in theirs if name not in own)
    ordered = {name: initial[name] for name in own if name in initial}
    return Pretrained(str(file), taken, ordered, unused)


def _fits(own: Tensor, their: Tensor) -> bool:
    return own.shape == their.shape and own.is_floating_point() == their.is_floating_point()


def _difference(own: Tensor, their: Tensor | None) -> str:
    if their is None:
        return "not in the file"
    shapes = [" x ".join(map(str, t.shape)) or "a number" for t in (own, their)]
    return f"{shapes[0]} here, {shapes[1]} in the file"


def _layer(name: str) -> str:
    return name.rpartition(".")[0] or name


def _examples(tensors: Mapping[str, Tensor]) -> str:
    return ", ".join([*map(printable, list(tensors)[:2]), *(["..."] if len(tensors) > 2 else [])])


def _tensors(file: Path) -> dict[str, Tensor]:
    try:
        with file.open("rb") as stream:
            start = stream.read(9)
    except OSError as error:
        raise InputError(
            f"--pretrained {file}: cannot be read ({error.strerror}); {ADVICE}"
        ) from None
    # torch.save writes a zip archive, and once wrote a pickle; safetensors may begin so too, but
    # its header opens here.
    if start.startswith((b"PK", b"\x80")) and start[8:] != b"{":
        return _of_torch(file)
    return read_tensors(file, "--pretrained", ADVICE)[0]


def _of_torch(file: Path) -> dict[str, Tensor]:
    try:
        with warnings.catch_warnings():  # of the format, to those who wrote the file
            warnings.simplefilter("ignore")
            content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise InputError(
            f"--pretrained {file}: is damaged, or holds more than tensors, which is not read; "
            f"{ADVICE}"
        ) from None
    except Exception as error:  # a damaged file makes it fail in many ways
        raise InputError(
            f"--pretrained {file}: cannot be read ({first_line(error)}); {ADVICE}"
        ) from None
    if isinstance(content, Mapping):
        wrapped = [content[name] for name in WRAPPERS if isinstance(content.get(name), Mapping)]
        content = wrapped[0] if wrapped else content
    if not _is_state_dict(content):
        raise InputError(f"--pretrained {file}: holds no state dict; {ADVICE}")
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in content):
            content = {name.removeprefix(prefix): tensor for name, tensor in content.items()}
    return dict(content)


def _is_state_dict(content: object) -> bool:
    return (
        isinstance(content, Mapping)
        and len(content) > 0
        and all(isinstance(name, str) for name in content)
        and all(_is_plain(value) for value in content.values())
    )


def _is_plain(value: object) -> bool:
    """Whether it is a tensor with values in plain memory."""
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and not value.is_quantized
    )
