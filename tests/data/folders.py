"""Folders of labelled images, as people have them."""

from pathlib import Path

import numpy as np
from PIL import Image

from ffdwv_fast.data.digits import load_digits

SUFFIXES = ("jpg", "png", "webp")


def photograph(width: int, height: int) -> Image.Image:
    """Waves of every length with noise, so that filters and colours show."""
    y, x = np.mgrid[0:height, 0:width]
    waves = np.stack(
        [127 + 90 * np.sin(x / 17 + c) + 30 * np.cos(y * (c + 1) / 9) for c in (0, 1, 2)]
    )
    noise = np.random.default_rng(width).normal(0, 15, waves.shape)
    return Image.fromarray(np.clip(waves + noise, 0, 255).astype(np.uint8).transpose(1, 2, 0))


def write_image(path: Path, seed: int = 0, size: tuple[int, int] = (24, 24), **options) -> Path:
    """An image of random colours in blocks, (width, height), of the format of its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    blocks = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    Image.fromarray(blocks).resize(size, Image.Resampling.NEAREST).save(path, **options)
    return path


def write_classes(part: Path, counts: dict[str, int], suffix: str = "png", seed: int = 0) -> None:
    """So many images of each class, no two alike."""
    for name, count in counts.items():
        for number in range(count):
            seed += 1
            write_image(part / name / f"{number}.{suffix}", seed)


def digit_folder(folder: Path, names: tuple[str, ...], train: int, test: int) -> Path:
    """train/ and val/ with so many real handwritten digits of each of the first classes.

    Of 24 to 40 pixels, upright and lying, as JPEG, PNG and WebP in turn.
    """
    digits = load_digits().train
    for label, name in enumerate(names):
        images = digits.images[digits.labels == label][: train + test]
        for number, image in enumerate(images):
            path = folder / ("train" if number < train else "val") / name
            path.mkdir(parents=True, exist_ok=True)
            size = (24 + number % 17, 24 + number * 7 % 17)
            large = Image.fromarray(image[..., 0]).resize(size, Image.Resampling.BICUBIC)
            suffix = SUFFIXES[number % len(SUFFIXES)]
            large.convert("RGB").save(path / f"{number:03}.{suffix}", quality=90)
    return folder
