"""Many image files as one array: by NVIDIA DALI what it decodes as Pillow does, else by Pillow."""

import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from ffdwv_fast.data.dali_decoder import DaliDecoder
from ffdwv_fast.data.dali_loader import dali_available
from ffdwv_fast.data.image_file import image_or_reason, quiet_pillow
from ffdwv_fast.errors import InputError

FORMATS = ("JPEG", "PNG", "WEBP")  # no others are tried on files of strangers
CHANNELS = 3
FILES_AT_ONCE = 64
MOST_THREADS = 16
SECONDS_BETWEEN_LINES = 30  # where there is no terminal


class Decoded(NamedTuple):
    """What has become of some files.

    Attributes:
        images: uint8 [N, side, side, 3]; black where there is a failure.
        failures: why a file could not be read, by its number.
        by_dali: how many DALI has decoded.
    """

    images: np.ndarray
    failures: dict[int, str]
    by_dali: int


def chosen_decoder(name: str) -> str:
    """ "dali" or "pillow" for a name in DECODERS.

    Raises:
        InputError: DALI is asked for and not installed.
    """
    if name == "dali" and not dali_available():
        raise InputError(
            "--decoder dali needs NVIDIA DALI: pip install 'ffdwv_fast[dali]', or use --decoder "
            "pillow"
        )
    if name == "auto":
        return "dali" if dali_available() else "pillow"
    return name


def decode_images(
    paths: Sequence[Path],
    side: int,
    decoder: str = "pillow",
    device: torch.device | str = "cpu",
    progress: bool = True,
) -> Decoded:
    """Decode JPEG, PNG and WebP files, whatever they are called, as `read_image` does.

    With DALI, JPEG in RGB or grey is decoded and resized by it, on the GPU if the device is one;
    its pixels are Pillow's within the tolerance that `DaliDecoder` states. Pillow has all others
    and what DALI fails at, so it decides what cannot be read.

    Args:
        paths: N files.
        side: of the square images.
        decoder: "dali" or "pillow".
        device: of DALI's.
        progress: show how far it is.

    Raises:
        InputError: DALI cannot decode here.
    """
    images = np.zeros((len(paths), side, side, CHANNELS), dtype=np.uint8)
    failures: dict[int, str] = {}
    by_dali = 0
    read = partial(image_or_reason, shape=(CHANNELS, side, side), formats=FORMATS)
    threads = min(MOST_THREADS, os.cpu_count() or 1)
    with (
        quiet_pillow(),
        ThreadPoolExecutor(threads) as pool,
        _Progress(len(paths), progress) as shown,
    ):
        dali = (
            DaliDecoder(side, torch.device(device), pool, threads, FILES_AT_ONCE)
            if decoder == "dali"
            else None
        )
        for start in range(0, len(paths), FILES_AT_ONCE):
            piece = paths[start : start + FILES_AT_ONCE]
            of_dali = dali.decode(piece) if dali is not None else {}
            by_dali += len(of_dali)
            left = [number for number in range(len(piece)) if number not in of_dali]
            of_pillow = zip(left, pool.map(read, [piece[n] for n in left]), strict=True)
            for number, result in (*of_dali.items(), *of_pillow):
                if isinstance(result, str):
                    failures[start + number] = result
                else:
                    images[start + number] = result
            shown.done(len(piece))
    return Decoded(images, failures, by_dali)


class _Progress:
    """A bar with rate and time left on a terminal, a line now and then elsewhere."""

    def __init__(self, total: int, wanted: bool):
        self._wanted = wanted
        self._total = total
        self._done = 0
        self._start = self._last_line = time.perf_counter()
        self._bar = tqdm(
            total=total,
            desc="decoding",
            unit=" images",
            dynamic_ncols=True,
            leave=False,
            disable=not wanted or not sys.stderr.isatty(),
        )

    def __enter__(self) -> "_Progress":
        return self

    def __exit__(self, *_) -> None:
        self._bar.close()

    def done(self, images: int) -> None:
        """So many more have been decoded."""
        self._done += images
        self._bar.update(images)
        now = time.perf_counter()
        if self._wanted and self._bar.disable and now - self._last_line > SECONDS_BETWEEN_LINES:
            self._last_line = now
            rate = self._done / (now - self._start)
            left = tqdm.format_interval((self._total - self._done) / rate)
            print(
                f"decoded {self._done:,} of {self._total:,} images, {rate:,.0f} images/s, "
                f"ETA {left}",
                flush=True,
            )
