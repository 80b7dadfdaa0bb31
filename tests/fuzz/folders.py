"""What a folder of your own images is made of: image files, and the file of aliases."""

import io
from pathlib import Path
from unittest.mock import patch

import numpy as np
from PIL import Image

from ffdwv_fast.data import image_file
from ffdwv_fast.data.image_decoding import FORMATS
from ffdwv_fast.data.image_file import read_image
from ffdwv_fast.semantics.alias_file import read_alias_file
from tests.fuzz.target import Target, expect

NAMES = ("n1", "n 2")
SHAPE = (3, 8, 8)
MOST_PIXELS = 1 << 16


def image(folder: Path) -> Target:
    """A JPEG, PNG or WebP file."""
    file = folder / "image"

    def check(data: bytes) -> None:
        file.write_bytes(data)
        with patch.object(image_file, "MOST_PIXELS", MOST_PIXELS):  # else most inputs take long
            pixels = read_image(file, SHAPE, FORMATS)
        expect((pixels.dtype, pixels.shape) == (np.uint8, (8, 8, 3)), "it is no image of the size")

    return Target([_encoded(kind, mode) for kind in FORMATS for mode in ("RGB", "L")], check)


def aliases(folder: Path) -> Target:
    """The file of aliases."""
    file = folder / "aliases"

    def check(data: bytes) -> None:
        file.write_bytes(data)
        for name, words in read_alias_file(file, NAMES).items():
            expect(name in NAMES, "a name that is no class")
            expect(bool(words.strip()) and words.encode() in data, "words that are not in the file")

    return Target([b"n1 = dog\nn 2=cat", b"# \xc3\xa9\r\n\r\nn 2 = oak tree\r\n"], check)


def _encoded(kind: str, mode: str) -> bytes:
    stream = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (12, 9, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(stream, kind)
    return stream.getvalue()
