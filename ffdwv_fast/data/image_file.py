"""An image file as a network sees it."""

import os
import stat
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ffdwv_fast.errors import InputError

# Pillow warns beyond this size and refuses twice as much.
MOST_PIXELS = 89_478_485
ADVICE = "take another file, or save it again as PNG or JPEG"


def read_image(
    path: Path, shape: tuple[int, int, int], formats: Sequence[str] | None = None
) -> np.ndarray:
    """Read an image of any format that Pillow reads, at the size and in the colours asked for.

    It is turned as its EXIF data say, of several frames the first; what is transparent becomes
    black. The largest part in the middle with the proportions asked for is resized to them with a
    bilinear filter that is two new pixels wide (Pillow's `ImageOps.fit`): for a square, the shorter
    side is resized to its side and the longer one cut off evenly at both ends.

    Args:
        path: the file.
        shape: (channels, H, W); 1 channel: grey, ITU-R 601-2 luma; 3: red, green, blue.
        formats: the only ones that are tried, by Pillow's names, whatever the file is called.

    Returns:
        uint8 [H, W, channels].

    Raises:
        InputError: the file is missing, damaged, of more than 89,478,485 pixels, or of no format
            that is tried.
    """
    with quiet_pillow():
        image = image_or_reason(path, shape, formats)
    if isinstance(image, str):
        raise InputError(f"{image}; {ADVICE}")
    return image


def image_or_reason(
    path: Path, shape: tuple[int, int, int], formats: Sequence[str] | None = None
) -> np.ndarray | str:
    """The same, or in one line why there is none; within `quiet_pillow`, by several threads."""
    from PIL import Image, ImageOps

    channels, height, width = shape
    try:
        _refuse_what_is_no_file(path)
        with Image.open(path, formats=formats) as file:
            _refuse_huge(file.size)
            image = _eight_bits(ImageOps.exif_transpose(file))
        image = _without_alpha(image).convert("L" if channels == 1 else "RGB")
        image = ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)
    except Exception as error:  # a decoder may raise anything on a damaged file
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        return f"image {_shown(path)}: cannot be read ({' '.join(str(reason).split())})"
    return np.asarray(image).reshape(height, width, channels)


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Without Pillow's warnings; of the whole process, so that threads must not enter it each."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")
        yield


def _shown(path: Path) -> str:
    """As one line that does nothing to a terminal."""
    return str(path) if str(path).isprintable() else repr(str(path))


def _refuse_what_is_no_file(path: Path) -> None:
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):  # opening a pipe may wait for ever
        raise ValueError("it is a folder or a device, not a file")
    if status.st_size == 0:
        raise ValueError("it is empty")


def _refuse_huge(size: tuple[int, int]) -> None:
    width, height = size
    if width * height > MOST_PIXELS:
        raise ValueError(
            f"it has {width} x {height} pixels, more than {MOST_PIXELS:,}: perhaps a "
            "decompression bomb"
        )


def _eight_bits(image):
    """Grey of 16 bits with the upper 8 of them; what else is wider is refused."""
    from PIL import Image

    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError("its pixels have 32 bits, of no known range")
    return image


def _without_alpha(image):
    from PIL import Image

    if not image.has_transparency_data:
        return image
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image)
