"""How the images of a folder are to be read."""

from dataclasses import dataclass

import torch

from ffdwv_fast.errors import InputError

IMAGE_SIZE = 64  # unless told otherwise
# ResNets for CIFAR halve the size twice; padding, an eighth of it, has to fit into a byte.
SMALLEST_SIZE, LARGEST_SIZE = 8, 1024
DECODERS = ("auto", "dali", "pillow")


@dataclass(frozen=True)
class Reading:
    """What a data set of image files needs to know; those that are published as arrays do not.

    Attributes:
        image_size: pixels of both sides that every image is brought to.
        flip: whether a mirrored image still shows its class.
        decoder: "dali", "pillow", or "auto": DALI where it is installed, else Pillow.
        device: of the training; DALI decodes JPEG on it.
        normalisation: mean and std, one number per channel, in units of pixel / 255; None: those of
            the training images.
        test_only: leave the training images out; needs `normalisation`.
        quiet: print nothing, as another process does.

    Raises:
        InputError: an image size out of range.
    """

    image_size: int = IMAGE_SIZE
    flip: bool = True
    decoder: str = "auto"
    device: torch.device | str = "cpu"
    normalisation: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    test_only: bool = False
    quiet: bool = False

    def __post_init__(self):
        if not SMALLEST_SIZE <= self.image_size <= LARGEST_SIZE:
            raise InputError(
                f"image size {self.image_size}: expected {SMALLEST_SIZE} to {LARGEST_SIZE} pixels"
            )
        if self.test_only and self.normalisation is None:
            raise ValueError("without training images there is nothing to take mean and std from")
