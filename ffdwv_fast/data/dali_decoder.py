"""JPEG files decoded and resized by NVIDIA DALI, on the GPU or the CPU.

The other formats are left to Pillow: DALI has no GPU decoder for them, and does not see what is
transparent. What a file is, and how large, is read from its header first, so that DALI is handed
neither a decompression bomb nor what it would turn into other pixels.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from ffdwv_fast.errors import InputError

MODES = ("RGB", "L")  # CMYK is Pillow's
MOST_FILE_BYTES = 1 << 26
MOST_PIXELS_AT_ONCE = 1 << 26  # 200 MB
EXIF_ORIENTATION, UPRIGHT = 0x0112, 1
END_OF_IMAGE = b"\xff\xd9"


class _Encoded(NamedTuple):
    """A JPEG file for DALI: its bytes, its pixels, and the square in its middle as (y, x)."""

    content: np.ndarray
    pixels: int
    start: np.ndarray
    end: np.ndarray


class DaliDecoder:
    """Decodes what it can of some files.

    On a CPU its pixels are within one grey level of `read_image`'s. In the outermost row and column
    of a reduced image they differ by an eighth of the contrast there at most, in a corner by a
    quarter: the filter reaches beyond the image, where DALI repeats the edge and Pillow leaves out
    what is not there.

    Args:
        side: of the square images that it gives.
        device: a GPU or the CPU.
        pool: reads the files.
        threads: of DALI.
        most: files that `decode` is given at once.

    Raises:
        InputError: DALI cannot decode here.
    """

    def __init__(self, side: int, device: torch.device, pool: Executor, threads: int, most: int):
        self._pool = pool
        self._build = partial(_build_pipeline, side, device, threads, most)
        try:
            self._pipeline = self._build()
        except RuntimeError as error:
            raise InputError(
                f"--decoder dali: DALI cannot decode here ({' '.join(str(error).split())}); use "
                "--decoder pillow"
            ) from None

    def decode(self, paths: Sequence[Path]) -> dict[int, np.ndarray]:
        """uint8 [side, side, 3] by a file's number; those that are not for DALI are left out."""
        encoded = dict(enumerate(self._pool.map(_encoded, paths)))
        suitable = {number: one for number, one in encoded.items() if one is not None}
        decoded: dict[int, np.ndarray] = {}
        for numbers in _groups({number: one.pixels for number, one in suitable.items()}):
            images = self._run([suitable[number] for number in numbers])
            if images is not None:
                decoded.update(zip(numbers, images, strict=True))
        return decoded

    def _run(self, group: Sequence[_Encoded]) -> np.ndarray | None:
        """uint8 [B, side, side, 3]; None where DALI refuses one of the files."""
        try:
            self._pipeline.feed_input("encoded", [one.content for one in group])
            self._pipeline.feed_input("start", [one.start for one in group])
            self._pipeline.feed_input("end", [one.end for one in group])
            (images,) = self._pipeline.run()
            return np.array(images.as_cpu().as_array())
        except RuntimeError:
            self._pipeline = self._build()  # what is left of one after an error is not said
            return None


def _encoded(path: Path) -> _Encoded | None:
    """A file for DALI; None for what it is not to have."""
    from PIL import Image

    try:
        if os.path.getsize(path) > MOST_FILE_BYTES or not os.path.isfile(path):
            return None
        with Image.open(path, formats=("JPEG",)) as file:
            (width, height), mode, info = file.size, file.mode, file.info
            orientation = file.getexif().get(EXIF_ORIENTATION, UPRIGHT)
        content = np.fromfile(path, dtype=np.uint8)
    except Exception:  # Pillow says later what is wrong with it
        return None
    # Red, green and blue as they are, without the usual transform: not every decoder knows.
    is_plain = mode in MODES and info.get("adobe_transform") != 0
    is_whole = content[-2:].tobytes() == END_OF_IMAGE
    if not (is_plain and is_whole and orientation == UPRIGHT):
        return None
    short = min(width, height)
    start = np.array([height - short, width - short], dtype=np.float32) / 2
    return _Encoded(content, width * height, start, start + np.float32(short))


def _groups(pixels: dict[int, int]) -> Iterator[list[int]]:
    """Numbers whose images together are not too large; those that are so alone are left out."""
    group: list[int] = []
    left = MOST_PIXELS_AT_ONCE
    for number, count in pixels.items():
        if count > MOST_PIXELS_AT_ONCE:
            continue
        if count > left:
            yield group
            group, left = [], MOST_PIXELS_AT_ONCE
        group.append(number)
        left -= count
    if group:
        yield group


def _build_pipeline(side: int, device: torch.device, threads: int, most: int):
    from nvidia.dali import fn, pipeline_def, types

    on_gpu = device.type == "cuda"

    @pipeline_def(exec_dynamic=True, prefetch_queue_depth=1)
    def decode():
        encoded = fn.external_source(name="encoded", dtype=types.UINT8, ndim=1)
        images = fn.decoders.image(
            encoded,
            device="mixed" if on_gpu else "cpu",
            output_type=types.RGB,
            jpeg_fancy_upsampling=True,  # as Pillow
        )
        return fn.resize(
            images,
            size=[side, side],
            roi_start=fn.external_source(name="start", dtype=types.FLOAT, ndim=1),
            roi_end=fn.external_source(name="end", dtype=types.FLOAT, ndim=1),
            interp_type=types.INTERP_LINEAR,
            antialias=True,
        )

    pipeline = decode(
        batch_size=most,
        num_threads=threads,
        device_id=(device.index or 0) if on_gpu else None,
    )
    pipeline.build()
    return pipeline
