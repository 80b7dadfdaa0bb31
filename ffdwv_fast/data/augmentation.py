"""Order, crop and flip of every image of an epoch, from a counter-based generator.

The draws of an image are a pure function of (seed, epoch, image index): Philox4x64 (Salmon et al.,
"Parallel random numbers: as easy as 1, 2, 3", 2011) with the key (seed, epoch) turns the image's
index, as a counter, into one block of 4 x 64 random bits. So there is no state to save or to pass
on: a resumed run continues exactly, any worker or rank can compute the draws of its own images
alone, ``np.random.Philox(key=[seed, epoch], counter=i).random_raw(4)``, and every loader that
follows the plan yields the same pixels.
"""

import operator
from dataclasses import dataclass

import numpy as np

from ffdwv_fast.errors import InputError


@dataclass(frozen=True, eq=False)
class EpochPlan:
    """What to do with the N images of one epoch.

    Attributes:
        order: int64 [N], the image indices in the order in which they are seen; fewer where only
            some of the epoch's images are.
        offset_y: int64 [N], by image index: first row of the crop in the padded image.
        offset_x: int64 [N], by image index: first column of the crop in the padded image.
        flip: bool [N], by image index: whether to mirror the crop left to right.
    """

    order: np.ndarray
    offset_y: np.ndarray
    offset_x: np.ndarray
    flip: np.ndarray


def image_draws(seed: int, epoch: int, n: int) -> np.ndarray:
    """Four random 64-bit words for each of the images 0 to n - 1.

    Args:
        seed: 0 to 2**63 - 1.
        epoch: 0 to 2**63 - 1.
        n: the number of images; row i does not depend on it.

    Returns:
        uint64 [n, 4].

    Raises:
        InputError: seed or epoch is not an integer of that range.
    """
    key = [_key_word("seed", seed), _key_word("epoch", epoch)]
    generator = np.random.Philox(key=np.array(key, dtype=np.uint64), counter=0)
    return generator.random_raw(4 * n).reshape(n, 4)


def random_plan(
    seed: int, epoch: int, n: int, *, padding: int, flip: bool, shuffle: bool = True
) -> EpochPlan:
    """The augmented epoch: random order, random crops and, with ``flip``, random mirroring.

    Word 0 of an image's draws is its sort key, words 1 and 2 give the crop's row and column (each
    of the (2 padding + 1)^2 offsets equally likely, to 2^-32), the top bit of word 3 the flip.

    Args:
        seed: 0 to 2**63 - 1.
        epoch: 0 to 2**63 - 1.
        n: the number of images.
        padding: pixels added on every side; offsets are 0 to 2 padding.
        flip: mirror each image with probability 1/2; never if False.
        shuffle: False keeps the order 0 to n - 1.

    Raises:
        InputError: seed or epoch is not an integer of that range.
    """
    draws = image_draws(seed, epoch, n)
    return EpochPlan(
        order=_order(draws, shuffle),
        offset_y=_below(2 * padding + 1, draws[:, 1]),
        offset_x=_below(2 * padding + 1, draws[:, 2]),
        flip=(draws[:, 3] >> np.uint64(63)).astype(bool) if flip else np.zeros(n, dtype=bool),
    )


def plain_plan(seed: int, epoch: int, n: int, *, padding: int, shuffle: bool = False) -> EpochPlan:
    """The epoch without augmentation: every image whole, in index order unless ``shuffle``.

    Args and errors are those of :func:`random_plan`.
    """
    centre = np.full(n, padding, dtype=np.int64)
    order = _order(image_draws(seed, epoch, n), shuffle)
    return EpochPlan(order, centre, centre, np.zeros(n, dtype=bool))


def _order(draws: np.ndarray, shuffle: bool) -> np.ndarray:
    return np.argsort(draws[:, 0], kind="stable") if shuffle else np.arange(len(draws))


def _below(bound: int, words: np.ndarray) -> np.ndarray:
    # The high word of a 32 x 32 bit product: no modulo bias towards small offsets.
    return (((words >> np.uint64(32)) * np.uint64(bound)) >> np.uint64(32)).astype(np.int64)


def _key_word(name: str, value: int) -> int:
    try:
        word = operator.index(value)
    except TypeError:
        word = -1
    if not 0 <= word < 2**63:
        raise InputError(f"{name} {value!r}: expected a whole number from 0 to 2**63 - 1")
    return word
