"""The defaults of each data set."""

from typing import NamedTuple


class Recipe(NamedTuple):
    """What a run uses unless told otherwise.

    Attributes:
        model: a name in MODELS.
        epochs: passes over the training images.
        batch_size: images per step.
        lr: learning rate of the first epoch.
        weight_decay: of every parameter.
        teacher_model: the network of a teacher, a name in MODELS.
    """

    model: str
    epochs: int
    batch_size: int
    lr: float
    weight_decay: float
    teacher_model: str


# The paper's (section 4.3); batch size and weight decay, which it leaves out, are its lineage's.
PAPER = Recipe(
    "resnet32", epochs=300, batch_size=128, lr=0.1, weight_decay=1e-4, teacher_model="resnet110"
)

RECIPES = {
    "cifar10": PAPER,
    "cifar100": PAPER,
    "digits": Recipe(
        "resnet20", epochs=12, batch_size=32, lr=0.05, weight_decay=1e-4, teacher_model="resnet20"
    ),
    "folder": Recipe(
        "resnet20", epochs=24, batch_size=32, lr=0.05, weight_decay=5e-4, teacher_model="resnet56"
    ),
}
