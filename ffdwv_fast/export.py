"""python -m ffdwv_fast.export: a finished run's network as a file that runs without this package.

The file's input `images` is a float32 batch [N, channels, H, W], (pixel / 255 - mean) / std; with
--with-normalisation it is uint8 [N, H, W, channels], as image files hold them. Its output `logits`
is float32 [N, classes], before the softmax. Beside it lies FILE.json with class names, mean, std
and shapes; an ONNX file has them as its metadata too. A file is written only where its logits are
the original's, within 1e-4, on 100 images of the run's test set. All is done on the CPU in float32.
"""

from ffdwv_fast.extras import EVERY_RUN, exit_without

if __name__ == "__main__":  # what is imported next needs them
    exit_without(*EVERY_RUN)

import json
from argparse import ArgumentTypeError
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ffdwv_fast.atomic_file import replaced_file
from ffdwv_fast.command import ArgumentParser, positive_int, run_command
from ffdwv_fast.engine.environment import versions
from ffdwv_fast.engine.export import (
    FORMATS,
    INPUT,
    OUTPUT,
    exported,
    largest_difference,
    refuse_missing_packages,
)
from ffdwv_fast.engine.run_images import images_for
from ffdwv_fast.engine.trained import Trained, load_trained
from ffdwv_fast.errors import InputError

MOST_DIFFERENCE = 1e-4
CHECKED_IMAGES = 100


def parser() -> ArgumentParser:
    """The command's options."""
    p = ArgumentParser(prog="python -m ffdwv_fast.export", description=__doc__)
    p.add_argument("run", type=Path, metavar="RUN", help="a finished run's folder")
    p.add_argument(
        "--format",
        choices=FORMATS,
        required=True,
        help="onnx: for onnxruntime and others, needs the [export] extra; pt2: for "
        "torch.export.load",
    )
    p.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help="its name ends in .onnx or .pt2, as the format; a file of that name is replaced",
    )
    p.add_argument(
        "--batch",
        type=_batch,
        default="dynamic",
        metavar="dynamic|N",
        help="images at once: any number, or N always",
    )
    p.add_argument(
        "--with-normalisation",
        action="store_true",
        help="take uint8 images [N, H, W, channels] and normalise them in the file's graph; "
        "otherwise normalised float32 images [N, channels, H, W]",
    )
    p.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="where the run's data set is, or is downloaded to, to check with (default: the run's)",
    )
    return p


def _batch(text: str) -> int | None:
    """N; None: any."""
    if text == "dynamic":
        return None
    try:
        return positive_int(text)
    except ArgumentTypeError:
        raise ArgumentTypeError(
            f"{text!r} is neither dynamic nor an integer of 1 or more"
        ) from None


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    args = parser().parse_args(argv)
    _refuse_bad_output(args.out, args.format)
    refuse_missing_packages(args.format)
    trained = load_trained(args.run, torch.device("cpu"))
    pixels = _check_images(trained, args.data_dir)
    whole = trained.from_pixels()
    if args.with_normalisation:
        network, images = whole, pixels
    else:
        network, images = trained.network, whole.normalised(pixels).contiguous()
    notes = _notes(trained, args.with_normalisation, args.batch)
    content, difference = _checked_file(network, images, notes, args.format, args.batch)
    beside = args.out.with_name(args.out.name + ".json")
    _write(beside, (json.dumps(notes, indent=2) + "\n").encode())
    _write(args.out, content)
    print(
        f"{args.out}: {len(content):,} bytes; largest difference of a logit on {len(images)} "
        f"test images of {trained.config.dataset}: {difference:.2g}"
    )


def _checked_file(
    network: nn.Module,
    images: Tensor,
    notes: Mapping[str, object],
    format_name: str,
    batch: int | None,
) -> tuple[bytes, float]:
    """The file's content, and by how much its logits differ; InputError if by too much."""
    write, read = FORMATS[format_name]
    example = images[np.arange(batch or 2) % len(images)]
    program = exported(network, example, dynamic=batch is None)
    content = write(program, {name: _text(value) for name, value in notes.items()})
    difference = largest_difference(network, read(content), _batches(images, batch))
    if difference > MOST_DIFFERENCE:
        raise InputError(
            f"--format {format_name}: the exported network's logits differ by {difference:.2g} "
            f"from the original's on {len(images)} images, more than {MOST_DIFFERENCE:g}; nothing "
            "was written; try the other format, or another version of torch"
        )
    return content, difference


def _refuse_bad_output(out: Path, format_name: str) -> None:
    if out.suffix != f".{format_name}":
        raise InputError(
            f"--out {out}: with --format {format_name} the name ends in .{format_name}"
        )
    if out.is_dir():
        raise InputError(f"--out {out} is a folder; give a file")
    if not out.absolute().parent.is_dir():
        raise InputError(f"--out {out}: there is no folder {out.parent}; make it first")


def _check_images(trained: Trained, data_dir: Path | None) -> Tensor:
    """uint8 [N, H, W, channels] of the run's test set, over all of it."""
    config = trained.config
    folder = data_dir or Path(config.data_dir)
    test = images_for(config, config.dataset, folder, trained.device, test_only=True).test
    chosen = np.linspace(0, len(test) - 1, min(CHECKED_IMAGES, len(test))).astype(int)
    return torch.from_numpy(np.ascontiguousarray(test.images[chosen]))


def _batches(images: Tensor, size: int | None) -> Iterator[Tensor]:
    """All images, the first ones again to fill the last batch; None: batches of several sizes."""
    if size is None:
        yield images
        yield images[:1]
        return
    count = -(-len(images) // size) * size
    yield from images[np.arange(count) % len(images)].split(size)


def _notes(trained: Trained, from_pixels: bool, batch: int | None) -> dict[str, object]:
    """What one has to know to use the file."""
    channels, height, width = trained.images.shape
    n = "N" if batch is None else batch
    if from_pixels:
        shape, dtype = [n, height, width, channels], "uint8"
    else:
        shape, dtype = [n, channels, height, width], "float32"
    config = trained.config
    return {
        "class_names": list(trained.images.class_names),
        "input": {"name": INPUT, "dtype": dtype, "shape": shape, "normalised": not from_pixels},
        "mean": list(trained.images.mean),
        "std": list(trained.images.std),
        "output": {
            "name": OUTPUT,
            "dtype": "float32",
            "shape": [n, len(trained.images.class_names)],
        },
        "model": config.model,
        "dataset": config.dataset,
        "method": config.method,
        "versions": versions(),
    }


def _text(value: object) -> str:
    """As ONNX metadata, which are strings, hold it: strings as they are, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def _write(path: Path, content: bytes) -> None:
    try:
        with replaced_file(path) as stream:
            stream.write(content)
    except OSError as error:
        raise InputError(f"--out {path}: cannot be written ({error.strerror})") from None


if __name__ == "__main__":
    run_command(main)
