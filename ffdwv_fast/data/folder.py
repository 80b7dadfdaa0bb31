"""A folder of labelled images as a data set: its images in memory, all of one size."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ffdwv_fast.data.dataset import Dataset, ImageSet, Origin
from ffdwv_fast.data.folder_layout import FolderLayout, ImageFile, read_layout
from ffdwv_fast.data.host_memory import available_memory
from ffdwv_fast.data.image_decoding import CHANNELS, Decoded, chosen_decoder, decode_images
from ffdwv_fast.data.reading import Reading
from ffdwv_fast.errors import InputError

MOST_FAILURES = 0.01  # of the images
FAILURES_NAMED = 5  # where there are more
COPIES = 2  # of the images in memory: loaders keep one of their own, padded or on the device
MOST_PADDING = 127  # of the native op
BLOCK = 1024  # images whose pixels are counted at once


def load_folder(folder: Path, reading: Reading) -> Dataset:
    """Read a folder's images: see `folder_layout` for where they are.

    Each is brought to the size asked for as `read_image` does, in three colours. What cannot be
    read is named on stderr and left out. Random crops have an eighth of the size as padding, as
    CIFAR's have. Mean and std are of all training images, rounded to five digits as CIFAR's are.

    Args:
        folder: DIR.
        reading: how.

    Returns:
        uint8 [N, size, size, 3]; its origin says what the folder had.

    Raises:
        InputError: the folder is laid out otherwise; the images would not fit into memory; more
            than 1 % of them, or all of a class, cannot be read; DALI is asked for and not there.
    """
    layout = read_layout(folder)
    decoder = chosen_decoder(reading.decoder)
    train = () if reading.test_only else layout.train
    files = (*train, *layout.test)
    _refuse_too_many(layout, len(files), reading.image_size)
    if not reading.quiet:
        print(layout.description(), flush=True)
    decoded = _decoded(files, decoder, reading)
    _judge_failures(layout, len(files), decoded.failures, reading.quiet)
    sets = [
        _image_set(layout, files, decoded, which)
        for which in (slice(0, len(train)), slice(len(train), None))
    ]
    mean, std = reading.normalisation or pixel_statistics(sets[0].images)
    return Dataset(
        name="folder",
        class_names=layout.class_names,
        train=sets[0],
        test=sets[1],
        mean=mean,
        std=std,
        padding=min(MOST_PADDING, reading.image_size // 8),
        flip=reading.flip,
        origin=Origin(
            files=len(layout.train) + len(layout.test),
            fingerprint=layout.fingerprint(),
            decoder=decoder,
            skipped=len(decoded.failures),
        ),
    )


def pixel_statistics(images: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel, in units of pixel / 255, to five digits.

    Args:
        images: uint8 [N, H, W, C].

    Returns:
        The standard deviation is one grey level at least: in some sets a colour is always black.
    """
    counts = np.zeros((images.shape[3], 256), dtype=np.int64)
    for start in range(0, len(images), BLOCK):
        for channel, total in enumerate(counts):
            block = images[start : start + BLOCK, ..., channel]
            total += np.bincount(block.ravel(), minlength=256)
    values = np.arange(256) / 255
    mean = counts @ values / counts.sum(axis=1)
    deviations = (values - mean[:, None]) ** 2
    std = np.sqrt((counts * deviations).sum(axis=1) / counts.sum(axis=1))
    rounded = np.round(mean, 5), np.round(np.maximum(std, 1 / 255), 5)
    return tuple(rounded[0].tolist()), tuple(rounded[1].tolist())


def _decoded(files: Sequence[ImageFile], decoder: str, reading: Reading) -> Decoded:
    start = time.perf_counter()
    decoded = decode_images(
        [file.path for file in files],
        reading.image_size,
        decoder,
        reading.device,
        progress=not reading.quiet,
    )
    if not reading.quiet:
        by = f", {decoded.by_dali:,} by DALI" if decoder == "dali" else ""
        seconds = time.perf_counter() - start
        print(f"{len(files):,} images read in {seconds:.1f} s{by}", flush=True)
    return decoded


def _refuse_too_many(layout: FolderLayout, count: int, side: int) -> None:
    needed, free = COPIES * count * side * side * CHANNELS, available_memory()
    if free is not None and needed > free:
        raise InputError(
            f"--data-dir {layout.folder}: {count:,} images of {side} x {side} pixels need "
            f"{needed / 1e9:.1f} GB of memory, a loader's copy included, and {free / 1e9:.1f} GB "
            "are free; use a smaller --image-size, or fewer images"
        )


def _judge_failures(
    layout: FolderLayout, count: int, failures: dict[int, str], quiet: bool
) -> None:
    """Name the files that cannot be read; refuse too many."""
    if len(failures) > MOST_FAILURES * count:
        some = "; ".join(list(failures.values())[:FAILURES_NAMED])
        raise InputError(
            f"--data-dir {layout.folder}: {len(failures):,} of {count:,} images cannot be read, "
            f"more than {MOST_FAILURES:.0%}; repair or remove them: {some}"
        )
    for reason in failures.values() if not quiet else ():
        print(f"skipped: {reason}", file=sys.stderr)


def _image_set(
    layout: FolderLayout, files: Sequence[ImageFile], decoded: Decoded, which: slice
) -> ImageSet:
    """A part of the files without those that could not be read; no class may have lost all."""
    labels = np.array([file.label for file in files[which]], dtype=np.int64)
    images = decoded.images[which]
    failed = [number - (which.start or 0) for number in decoded.failures]
    lost = np.zeros(len(labels), dtype=bool)
    lost[[number for number in failed if 0 <= number < len(labels)]] = True
    if lost.any():
        empty = sorted(set(labels.tolist()) - set(labels[~lost].tolist()))
        if empty:
            raise InputError(
                f"--data-dir {layout.folder}: no image of class "
                f"{layout.class_names[empty[0]]!r} can be read; repair them, or remove its folder"
            )
        images, labels = images[~lost], labels[~lost]
    return ImageSet(images, labels)
