"""A network as bytes that run without this package, and the same network back from them."""

import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from ffdwv_fast.errors import InputError
from ffdwv_fast.extras import EXTRAS, MissingLibraryError, need

INPUT, OUTPUT = "images", "logits"

Network = Callable[[Tensor], np.ndarray]


def exported(network: nn.Module, example: Tensor, dynamic: bool) -> torch.export.ExportedProgram:
    """The graph of a network in evaluation mode.

    Args:
        network: on the CPU.
        example: a batch of images; two or more where the batch is to be dynamic.
        dynamic: whether the graph takes batches of any size, or of the example's alone.
    """
    shapes = ({0: torch.export.Dim("batch", min=1)},) if dynamic else None
    with torch.no_grad(), _quiet():
        return torch.export.export(network, (example,), dynamic_shapes=shapes)


def pt2_bytes(program: torch.export.ExportedProgram, _notes: Mapping[str, str]) -> bytes:
    """A file for `torch.export.load`; the notes have no place in it."""
    stream = io.BytesIO()
    with _quiet():
        torch.export.save(program, stream)
    return stream.getvalue()


def pt2_network(content: bytes) -> Network:
    """What `pt2_bytes` has written."""
    with _quiet():
        network = torch.export.load(io.BytesIO(content)).module()

    def run(images: Tensor) -> np.ndarray:
        with torch.no_grad():
            return network(images).numpy()

    return run


def onnx_bytes(program: torch.export.ExportedProgram, notes: Mapping[str, str]) -> bytes:
    """An ONNX file: input `images`, output `logits`, the notes as its metadata."""
    with _quiet():
        converted = torch.onnx.export(
            program, dynamo=True, input_names=[INPUT], output_names=[OUTPUT], verbose=False
        )
    converted.model.metadata_props.update(notes)
    return converted.model_proto.SerializeToString()


def onnx_network(content: bytes) -> Network:
    """What `onnx_bytes` has written, run by onnxruntime on the CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return lambda images: session.run([OUTPUT], {INPUT: images.numpy()})[0]


FORMATS: dict[str, tuple[Callable[..., bytes], Callable[[bytes], Network]]] = {
    "onnx": (onnx_bytes, onnx_network),
    "pt2": (pt2_bytes, pt2_network),
}


def refuse_missing_packages(format_name: str) -> None:
    """Raise InputError if a format needs packages that are not installed."""
    needed = EXTRAS["export"] if format_name == "onnx" else ()
    try:
        need(*needed)
    except MissingLibraryError as error:
        raise InputError(f"--format {format_name}: {error}, or use --format pt2") from None


def largest_difference(network: nn.Module, copy: Network, batches: Iterator[Tensor]) -> float:
    """The largest |difference| between the logits of a network and of its copy; NaN counts as inf.

    Args:
        network: the original, in evaluation mode, on the CPU.
        copy: gives the logits of the same images.
        batches: images as both take them.
    """
    largest = 0.0
    for images in batches:
        with torch.no_grad():
            original = network(images).numpy().astype(np.float64)
        difference = np.abs(copy(images) - original).max().item()
        largest = max(largest, difference if np.isfinite(difference) else np.inf)
    return largest


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch says to those who develop it (torchvision missing, trees deprecated)."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
