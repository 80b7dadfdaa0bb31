"""The images of the step's and the loader's benchmark: complete CIFAR-10, or random ones."""

import os
from argparse import Namespace
from pathlib import Path

import numpy as np

from ffdwv_fast.command import ArgumentParser
from ffdwv_fast.data.dataset import Dataset, ImageSet
from ffdwv_fast.data.registry import load_dataset, resolve_dataset
from ffdwv_fast.errors import InputError

IMAGES, SIZE = 50_000, 32  # CIFAR-10's
TINY_IMAGES, TINY_SIZE = 40, 8
VARIABLE = "FFDWV_DATA"


def add_data_option(p: ArgumentParser) -> None:
    """--data-dir."""
    p.add_argument(
        "--data-dir",
        type=Path,
        default=os.environ.get(VARIABLE),
        metavar="DIR",
        help=f"where CIFAR-10 is (default: ${VARIABLE}); without, random images of its shape",
    )


def dataset_of(options: Namespace) -> Dataset:
    """The images that the options mean; nothing is downloaded.

    Raises:
        InputError: --data-dir has no CIFAR-10, or broken files of it.
    """
    if options.tiny:
        return random_dataset(TINY_IMAGES, TINY_SIZE)
    if options.data_dir is None:
        return random_dataset(IMAGES, SIZE)
    if resolve_dataset("auto", options.data_dir)[0] != "cifar10":
        raise InputError(
            f"--data-dir {options.data_dir}: no CIFAR-10 there; name the folder that has it "
            f"(also ${VARIABLE}), or neither for random images"
        )
    return load_dataset("cifar10", options.data_dir)


def random_dataset(n: int, size: int) -> Dataset:
    """n images of CIFAR's kind; speed does not depend on what they show."""
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (n, size, size, 3), dtype=np.uint8)
    images = ImageSet(pixels, generator.integers(0, 10, n))
    names = tuple(f"class {k}" for k in range(10))
    half = (0.5, 0.5, 0.5)
    return Dataset("random", names, images, images, half, half, padding=4, flip=True)


def description(dataset: Dataset) -> str:
    """A line for people."""
    height, width, channels = dataset.train.images.shape[1:]
    shape = f"{height} x {width} x {channels}"
    return f"images: {dataset.name}, {len(dataset.train):,} of {shape}"
