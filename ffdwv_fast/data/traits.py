"""What a network has to know of a data set after training: none of its images is read for it."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from ffdwv_fast.data import digits
from ffdwv_fast.data.cifar import CIFAR, SIDE
from ffdwv_fast.data.class_names import DIGITS_CLASSES


@dataclass(frozen=True)
class ImageTraits:
    """How the images of a data set look, and what they show.

    Attributes:
        class_names: the class of label i is ``class_names[i]``.
        shape: (C, H, W) of one image.
        mean: one number per channel, in units of pixel / 255.
        std: one number per channel, in units of pixel / 255.
    """

    class_names: tuple[str, ...]
    shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def as_record(self) -> dict[str, object]:
        """As JSON holds it."""
        return {name: list(value) for name, value in asdict(self).items()}

    @classmethod
    def from_record(cls, record: object) -> "ImageTraits":
        """What `as_record` has given; a ValueError says what of it is wrong."""
        if not isinstance(record, Mapping):
            raise ValueError("images are not described")
        names, shape, mean, std = (_list(record, name) for name in cls.__annotations__)
        if len(set(map(str, names))) < len(names) or not all(isinstance(n, str) for n in names):
            raise ValueError("class_names are not different words")
        if len(shape) != 3 or not all(type(n) is int and n > 0 for n in shape):
            raise ValueError(f"shape {shape} is not three numbers above 0")
        for name, values in (("mean", mean), ("std", std)):
            numbers = [v for v in values if isinstance(v, int | float) and math.isfinite(v)]
            if not len(numbers) == len(values) == shape[0] or (name == "std" and min(values) <= 0):
                raise ValueError(f"{name} {values} is not a number for each channel")
        return cls(tuple(names), tuple(shape), tuple(mean), tuple(std))


def _list(record: Mapping[str, object], name: str) -> list:
    value = record.get(name)
    if not isinstance(value, list) or not value:
        raise ValueError(f"{name} {value!r} is not a list")
    return value


TRAITS: dict[str, ImageTraits] = {
    "digits": ImageTraits(DIGITS_CLASSES, (1, 8, 8), digits.MEAN, digits.STD),
    **{
        name: ImageTraits(files.class_names, (3, SIDE, SIDE), files.mean, files.std)
        for name, files in CIFAR.items()
    },
}
