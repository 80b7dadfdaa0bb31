"""python -m ffdwv_fast.predict: what a finished run's network sees in images.

An image of any format that Pillow reads is turned as its EXIF data say; what is transparent becomes
black; its largest part in the middle with the proportions of the run's images (for a square: the
shorter side in full) is resized to their size with a bilinear filter, made grey where they are,
and normalised as they are. The network computes in float32; probabilities are the softmax of its
logits. An image that cannot be read is named and skipped, and the exit status is then 1."""

from ffdwv_fast.extras import EVERY_RUN, exit_without

if __name__ == "__main__":  # what is imported next needs them
    exit_without(*EVERY_RUN)

import json
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from ffdwv_fast.command import ArgumentParser, positive_int, run_command
from ffdwv_fast.data.image_file import ADVICE, image_or_reason, quiet_pillow
from ffdwv_fast.devices import resolve_device
from ffdwv_fast.engine.trained import Trained, load_trained

IMAGES_AT_ONCE = 64


def parser() -> ArgumentParser:
    """The command's options."""
    p = ArgumentParser(prog="python -m ffdwv_fast.predict", description=__doc__)
    p.add_argument("run", type=Path, metavar="RUN", help="a finished run's folder")
    p.add_argument("images", type=Path, nargs="+", metavar="IMAGE", help="image files")
    p.add_argument(
        "--top", type=positive_int, default=5, metavar="K", help="how many classes are printed"
    )
    p.add_argument(
        "--device", default="auto", help="auto (a GPU if there is one), cpu, cuda or cuda:N"
    )
    p.add_argument(
        "--json",
        action="store_true",
        help="print a JSON list with an object for each image: image, and predictions (class, "
        "probability) or error",
    )
    return p


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    args = parser().parse_args(argv)
    trained = load_trained(args.run, resolve_device(args.device, option="--device"))
    found = []
    for result in predict(trained, args.images, args.top):
        found.append(result)
        if "error" in result:
            print(f"skipped: {result['error']}", file=sys.stderr)
        elif not args.json:
            print(_text(result), flush=True)
    if args.json:
        print(json.dumps(found, indent=2))
    if any("error" in result for result in found):
        raise SystemExit(1)


def predict(trained: Trained, paths: Sequence[Path], top: int) -> Iterator[dict[str, object]]:
    """The likeliest classes of image files, in the files' order.

    Args:
        trained: the network.
        paths: image files.
        top: how many classes, at most all there are.

    Returns:
        For each file its name (image) and predictions (class and probability in [0, 1], the
        likeliest first), or error: why it could not be read.
    """
    network = trained.from_pixels()
    remaining = iter(paths)
    while piece := list(islice(remaining, IMAGES_AT_ONCE)):
        with quiet_pillow():
            read = [image_or_reason(path, trained.images.shape) for path in piece]
        images = [image for image in read if not isinstance(image, str)]
        likeliest = iter(_likeliest(trained, network, images, top) if images else [])
        for path, image in zip(piece, read, strict=True):
            failed = isinstance(image, str)
            outcome = {"error": f"{image}; {ADVICE}"} if failed else next(likeliest)
            yield {"image": str(path), **outcome}


@torch.inference_mode()
def _likeliest(
    trained: Trained, network: torch.nn.Module, images: list[np.ndarray], top: int
) -> list[dict[str, object]]:
    pixels = torch.from_numpy(np.stack(images)).to(trained.device)
    probabilities = network(pixels).cpu().double().softmax(dim=1)
    names = trained.images.class_names
    values, classes = probabilities.topk(min(top, len(names)))
    return [
        {
            "predictions": [
                {"class": names[c], "probability": p} for p, c in zip(row, which, strict=True)
            ]
        }
        for row, which in zip(values.tolist(), classes.tolist(), strict=True)
    ]


def _text(result: dict[str, object]) -> str:
    lines = [f"  {100 * p['probability']:6.2f} %  {p['class']}" for p in result["predictions"]]
    return "\n".join([str(result["image"]), *lines])


if __name__ == "__main__":
    run_command(main)
