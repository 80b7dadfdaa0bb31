"""The paper's numbers as printed: "A Free-Teacher Framework Driven by Word-Vector", section 4.4."""

from typing import NamedTuple

VECTORS = "GoogleNews-vectors-negative300"


class PaperResult(NamedTuple):
    """A cell of the paper's tables.

    Attributes:
        error: top-1 error in percent.
        spread: what is printed behind the +-; None where nothing is.
        where: the table.
        train_flops: TrCost; None where it is not printed.
        test_flops: TeCost; None where it is not printed.
        erratum: whether TrCost cannot be what it says, see `TRAIN_COST_ERRATUM`.
    """

    error: float
    spread: float | None
    where: str
    train_flops: float | None = None
    test_flops: float | None = None
    erratum: bool = False


TRAIN_COST_ERRATUM = (
    "erratum: a training step cannot cost less than its one forward pass (TeCost), and the paper "
    "says nothing that 0.97 or 0.59 follows from; FFDWV's TrCost is its TeCost"
)

# By data set, network and method.
PAPER: dict[tuple[str, str, str], PaperResult] = {
    ("cifar10", "resnet32", "vanilla"): PaperResult(6.93, None, "Table 2"),
    ("cifar10", "resnet32", "ffdwv"): PaperResult(6.6, 0.07, "Table 2"),
    ("cifar10", "resnet110", "vanilla"): PaperResult(5.56, None, "Table 2"),
    ("cifar10", "resnet110", "ffdwv"): PaperResult(5.12, 0.04, "Table 2"),
    ("cifar100", "resnet32", "vanilla"): PaperResult(31.18, None, "Table 2"),
    ("cifar100", "resnet32", "ffdwv"): PaperResult(
        30.3, 0.05, "Tables 2 and 3", 0.97e8, 1.38e8, erratum=True
    ),
    ("cifar100", "resnet110", "vanilla"): PaperResult(25.33, None, "Table 2"),
    ("cifar100", "resnet110", "ffdwv"): PaperResult(
        24.75, 0.05, "Tables 2 and 3", 0.59e8, 5.05e8, erratum=True
    ),
    ("cifar100", "resnet32", "kd"): PaperResult(28.83, None, "Table 3", 6.43e8, 1.38e8),
    ("cifar100", "resnet32", "dml"): PaperResult(29.03, 0.22, "Table 3", 2.76e8, 1.38e8),
    ("cifar100", "resnet110", "dml"): PaperResult(24.10, 0.72, "Table 3", 10.10e8, 5.05e8),
}
