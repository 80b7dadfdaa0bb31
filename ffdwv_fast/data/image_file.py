"""An image file as a network sees it."""

import warnings
from pathlib import Path

import numpy as np

from ffdwv_fast.errors import InputError


def read_image(path: Path, shape: tuple[int, int, int]) -> np.ndarray:
    """Read an image of any format that Pillow reads, at the size and in the colours asked for.

    It is turned as its EXIF data say, of several frames the first; what is transparent becomes
    black. The largest part in the middle with the proportions asked for is resized to them with a
    bilinear filter that is two new pixels wide (Pillow's `ImageOps.fit`): for a square, the shorter
    side is resized to its side and the longer one cut off evenly at both ends.

    Args:
        path: the file.
        shape: (channels, H, W); 1 channel: grey, ITU-R 601-2 luma; 3: red, green, blue.

    Returns:
        uint8 [H, W, channels].

    Raises:
        InputError: the file is missing, damaged, too large, or none of Pillow's formats.
    """
    from PIL import Image, ImageOps

    channels, height, width = shape
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
            with Image.open(path) as file:
                image = _eight_bits(ImageOps.exif_transpose(file))
        image = _without_alpha(image).convert("L" if channels == 1 else "RGB")
        image = ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)
    except Exception as error:  # a decoder may raise anything on a damaged file
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InputError(
            f"image {path}: cannot be read ({' '.join(str(reason).split())}); "
            "take another file, or save it again as PNG or JPEG"
        ) from None
    return np.asarray(image).reshape(height, width, channels)


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
