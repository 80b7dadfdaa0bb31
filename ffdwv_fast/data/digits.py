"""scikit-learn's handwritten digits: 1,797 images of 8 x 8 pixels that need no download."""

import numpy as np

from ffdwv_fast.data.class_names import DIGITS_CLASSES
from ffdwv_fast.data.dataset import Dataset, ImageSet

# Of the 1,437 training images, in units of pixel / 255; a test computes them again.
MEAN = (0.30543,)
STD = (0.37596,)
TEST_IMAGES = 360


def load_digits() -> Dataset:
    """The digits (E. Alpaydin and C. Kaynak, UCI), pixels 0..16 scaled to 0..255.

    Returns:
        1,437 training and 360 test images, uint8 [N, 8, 8, 1]; the split is scikit-learn's
        stratified one of seed 0. Never flipped: a mirrored digit is another shape.
    """
    from sklearn import datasets
    from sklearn.model_selection import train_test_split

    digits = datasets.load_digits()
    images = np.rint(digits.images[..., None] * (255 / 16)).astype(np.uint8)
    labels = digits.target.astype(np.int64)
    train_images, test_images, train_labels, test_labels = train_test_split(
        images, labels, test_size=TEST_IMAGES, stratify=labels, random_state=0
    )
    return Dataset(
        name="digits",
        class_names=DIGITS_CLASSES,
        train=ImageSet(train_images, train_labels),
        test=ImageSet(test_images, test_labels),
        mean=MEAN,
        std=STD,
        padding=1,
        flip=False,
    )
