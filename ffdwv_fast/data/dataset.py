"""What a data set is: labelled uint8 images, class names, and how to normalise and augment them."""

from dataclasses import dataclass, replace

import numpy as np

from ffdwv_fast.errors import InputError


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images with their labels.

    Attributes:
        images: uint8 [N, H, W, C_in], 0 is black.
        labels: int64 [N].
    """

    images: np.ndarray
    labels: np.ndarray

    def __post_init__(self):
        images, labels = self.images, self.labels
        if images.dtype != np.uint8 or images.ndim != 4:
            raise InputError(
                f"images of dtype {images.dtype} and shape {images.shape}: "
                "expected uint8 of shape [N, H, W, channels]"
            )
        if labels.dtype != np.int64 or labels.shape != images.shape[:1]:
            raise InputError(
                f"labels of dtype {labels.dtype} and shape {labels.shape}: "
                f"expected int64 of shape [{len(images)}], one for every image"
            )

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Origin:
    """The image files that a data set was made of.

    Attributes:
        files: how many there are, to train on and to evaluate on.
        fingerprint: changes with their names and sizes.
        decoder: "dali" or "pillow".
        skipped: how many of those that were read could not be.
    """

    files: int
    fingerprint: str
    decoder: str
    skipped: int


@dataclass(frozen=True, eq=False)
class Dataset:
    """A training set and a test set of the same classes.

    Attributes:
        name: the name under which the registry has it.
        class_names: the class of label i is ``class_names[i]``.
        train: the training images.
        test: the test images.
        mean: one number per channel, in units of pixel / 255, over the training images.
        std: one number per channel, in units of pixel / 255, over the training images.
        padding: black pixels added on every side before a random crop.
        flip: whether a mirrored image still shows its class.
        superclasses: the superclass of each class; None for data sets without.
        origin: None for data sets that are the same everywhere.
    """

    name: str
    class_names: tuple[str, ...]
    train: ImageSet
    test: ImageSet
    mean: tuple[float, ...]
    std: tuple[float, ...]
    padding: int
    flip: bool
    superclasses: tuple[int, ...] | None = None
    origin: Origin | None = None

    def __post_init__(self):
        for part in (self.train, self.test):
            bad = np.flatnonzero((part.labels < 0) | (part.labels >= self.num_classes))
            if len(bad):
                raise InputError(
                    f"label {part.labels[bad[0]]} of image {bad[0]} in {self.name}: "
                    f"expected 0 to {self.num_classes - 1}"
                )

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return len(self.class_names)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image, as a network sees it."""
        height, width, channels = self.train.images.shape[1:]
        return channels, height, width

    def limit_train(self, n: int) -> "Dataset":
        """The same data set with n of its training images, each class in proportion.

        The choice depends on the labels alone, never on a random seed, so that runs of different
        seeds train on the same images: the i-th of a class's c images gets the rank (i + 1/2) / c,
        and the n lowest ranks are taken (ties: the image that comes first). In a balanced set the
        class counts differ by at most one, and a smaller n gives a subset of a larger one. The
        images keep their order.

        Args:
            n: how many training images to keep, 1 to N.

        Raises:
            InputError: n is not in that range.
        """
        labels = self.train.labels
        if not 1 <= n <= len(labels):
            raise InputError(
                f"a training limit of {n}: expected 1 to {len(labels)}, "
                f"the number of training images of {self.name}"
            )
        ranks = np.empty(len(labels))
        for label in np.unique(labels):
            members = np.flatnonzero(labels == label)
            ranks[members] = (np.arange(len(members)) + 0.5) / len(members)
        chosen = np.sort(np.argsort(ranks, kind="stable")[:n])
        return replace(self, train=_chosen(self.train, chosen))

    def hold_out(self, n: int, seed: int) -> "Dataset":
        """The same data set with n of its training images in place of the test images.

        For choices that must not be made on the test set, which the result does not hold. Each
        class gives in proportion to its size, the images being drawn by the seed; what is left
        over by rounding down goes to the classes with the largest remainders (ties: the lower
        label). The images keep their order.

        Args:
            n: how many training images to hold out, 1 to N - 1.
            seed: of the draw, 0 or more.

        Raises:
            InputError: n is not in that range.
        """
        labels = self.train.labels
        if not 1 <= n < len(labels):
            raise InputError(
                f"{n} validation images: expected 1 to {len(labels) - 1}, as one at least of the "
                f"{len(labels)} training images of {self.name} must be left to train on"
            )
        counts = np.bincount(labels, minlength=self.num_classes)
        quotas, remainders = np.divmod(n * counts, len(labels))
        quotas[np.argsort(-remainders, kind="stable")[: n - quotas.sum()]] += 1
        generator = np.random.default_rng(seed)
        held_out = np.zeros(len(labels), dtype=bool)
        for label, quota in enumerate(quotas):
            members = generator.permutation(np.flatnonzero(labels == label))
            held_out[members[:quota]] = True
        return replace(
            self, train=_chosen(self.train, ~held_out), test=_chosen(self.train, held_out)
        )


def _chosen(images: ImageSet, which: np.ndarray) -> ImageSet:
    """Some of the images, by index or mask."""
    return ImageSet(images.images[which], images.labels[which])
