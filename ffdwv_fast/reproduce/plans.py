"""What each table and figure consists of."""

from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from ffdwv_fast.engine.recipes import RECIPES
from ffdwv_fast.methods import METHODS
from ffdwv_fast.semantics.bundled import BUNDLED_SOURCE

Item = TypeVar("Item")
SEEDS_TOGETHER = 3  # of an arm before the next arm: enough for an interval, one start of Python
DIGITS_EPOCHS = 15


class Arm(NamedTuple):
    """What is repeated over seeds.

    Attributes:
        dataset: a name in DATASETS.
        model: a name in MODELS.
        method: a name in METHODS, if it is registered.
        source: of the word vectors.
    """

    dataset: str
    model: str
    method: str
    source: str = BUNDLED_SOURCE

    @property
    def registered(self) -> bool:
        """Whether its method exists."""
        return self.method in METHODS

    @property
    def words(self) -> str:
        """The vectors as a table shows them; empty for methods that use none."""
        used = self.registered and METHODS[self.method].needs_similarity
        return Path(self.source).name if used else ""

    @property
    def label(self) -> str:
        """As a person reads it."""
        return " ".join(filter(None, (self.dataset, self.model, self.method, self.words)))


class Roles(NamedTuple):
    """The networks that stand where the paper has ResNet-32 and ResNet-110."""

    small: str
    large: str


ROLES = {
    "cifar10": Roles("resnet32", "resnet110"),
    "cifar100": Roles("resnet32", "resnet110"),
    "digits": Roles("resnet8", "resnet20"),
}

CONTROLS = ("ffdwv-permuted", "label-smoothing", "double-ce", "ffdwv-reverse")


class Question(NamedTuple):
    """What the difference between two methods says.

    Attributes:
        part: of the method that one has and the other lacks.
        method: a name in METHODS, as is `other`.
        other: compared with on the same seeds, and with the same vectors if it uses some.
    """

    part: str
    method: str
    other: str


class Plan(NamedTuple):
    """A table or figure.

    Attributes:
        name: as the command line has it.
        title: its headline.
        datasets: unless told otherwise.
        small: methods with the small network.
        large: methods with the large network.
        against: the methods that each arm is compared with, on the same seeds.
        questions: that its arms answer, if it is about the parts of a method.
    """

    name: str
    title: str
    datasets: tuple[str, ...]
    small: tuple[str, ...]
    large: tuple[str, ...]
    against: tuple[str, ...]
    questions: tuple[Question, ...] = ()


CIFAR = ("cifar10", "cifar100")
PAIR = ("vanilla", "ffdwv")
PLANS = {
    plan.name: plan
    for plan in (
        Plan("table2", "Table 2: FFDWV and vanilla training", CIFAR, PAIR, PAIR, ("vanilla",)),
        Plan(
            name="table3",
            title="Table 3: FFDWV beside knowledge distillation and deep mutual learning",
            datasets=("cifar100",),
            small=(*PAIR, "kd", "dml"),
            large=(*PAIR, "dml"),
            against=("vanilla",),
        ),
        Plan("figure2", "Figure 2: the similarity matrix S", ("cifar10",), (), (), ()),
        Plan(
            name="controls",
            title="Controls: what of FFDWV is due to the words",
            datasets=CIFAR,
            small=(*PAIR, *CONTROLS),
            large=(),
            against=("vanilla", "ffdwv"),
            questions=(
                Question("all of it", "ffdwv", "vanilla"),
                Question("the doubled scale", "double-ce", "vanilla"),
                Question("softness at that scale", "label-smoothing", "double-ce"),
                Question("the words, beside equal neighbours", "ffdwv", "label-smoothing"),
                Question("the words, beside wrong neighbours", "ffdwv", "ffdwv-permuted"),
                Question("KL's direction", "ffdwv", "ffdwv-reverse"),
            ),
        ),
    )
}


def arms(
    plan: Plan,
    datasets: Sequence[str] = (),
    models: Sequence[str] = (),
    sources: Sequence[str] = (BUNDLED_SOURCE,),
) -> list[Arm]:
    """A plan's arms, in the order of its table.

    Args:
        plan: in PLANS.
        datasets: instead of the plan's.
        models: instead of those that the plan has; each but the data set's large one has the small
            one's methods.
        sources: of word vectors: ffdwv is trained with each, everything else with the first.
    """
    found = []
    for dataset in datasets or plan.datasets:
        large = ROLES[dataset].large
        for model in models or ROLES[dataset]:
            methods = plan.large if model == large else plan.small
            if models and not methods:  # a control that is asked for with the large network
                methods = plan.small
            for method in methods:
                own = sources if method == "ffdwv" else sources[:1]
                found += [Arm(dataset, model, method, source) for source in own]
    return found


def by_network(
    items: Iterable[Item], arm_of: Callable[[Item], Arm]
) -> dict[tuple[str, str], list[Item]]:
    """Put together what is of one data set and network, in the order of their first items.

    Args:
        items: whatever has an arm.
        arm_of: an item's.
    """
    groups: dict[tuple[str, str], list[Item]] = {}
    for item in items:
        arm = arm_of(item)
        groups.setdefault((arm.dataset, arm.model), []).append(item)
    return groups


def order(wanted: Iterable[Arm], seeds: Sequence[int]) -> list[tuple[Arm, int]]:
    """Runs, the most informative first, each once.

    A single run of an arm says nothing, so a few seeds come together; vanilla and ffdwv before the
    controls, those before the costlier rivals; small networks before large ones, but the teacher,
    which is the large network's first vanilla run, with its student.

    Args:
        wanted: arms, perhaps of several plans.
        seeds: of each arm.
    """
    priority = (*PAIR, *CONTROLS, "kd", "dml")

    def rank(entry: tuple[int, Arm]) -> tuple[bool, int, int]:
        position, arm = entry
        return arm.model == ROLES[arm.dataset].large, priority.index(arm.method), position

    ranked = [arm for _, arm in sorted(enumerate(dict.fromkeys(wanted)), key=rank)]
    blocks = [seeds[i : i + SEEDS_TOGETHER] for i in range(0, len(seeds), SEEDS_TOGETHER)]
    return [(arm, seed) for block in blocks for arm in ranked for seed in block]


def options(arm: Arm, epochs: int | None, extra: Sequence[str] = ()) -> list[str]:
    """The training command's options for an arm, but for the seeds and the folder.

    Args:
        arm: whose method is registered.
        epochs: None for the recipe's; on digits, whose recipe is a demonstration, 15.
        extra: options of the training command, which come last and so win.
    """
    if epochs is None:
        epochs = DIGITS_EPOCHS if arm.dataset == "digits" else RECIPES[arm.dataset].epochs
    found = ["--dataset", arm.dataset, "--model", arm.model, "--method", arm.method]
    found += ["--epochs", str(epochs), "--word-vectors", arm.source]
    if METHODS[arm.method].needs_teacher:
        found += ["--teacher-model", ROLES[arm.dataset].large]
    return [*found, *extra]


def unregistered(wanted: Collection[Arm]) -> list[str]:
    """The methods that some arms need and that do not exist, sorted."""
    return sorted({arm.method for arm in wanted if not arm.registered})
