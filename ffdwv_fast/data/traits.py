"""What a network has to know of a data set after training: none of its images is read for it."""

from dataclasses import dataclass

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


TRAITS: dict[str, ImageTraits] = {
    "digits": ImageTraits(DIGITS_CLASSES, (1, 8, 8), digits.MEAN, digits.STD),
    **{
        name: ImageTraits(files.class_names, (3, SIDE, SIDE), files.mean, files.std)
        for name, files in CIFAR.items()
    },
}
