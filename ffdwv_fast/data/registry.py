"""Data sets by name: a new one is a file that loads it, and a line here."""

from collections.abc import Callable
from pathlib import Path

from ffdwv_fast.data.cifar import find_archive, find_cifar, load_cifar
from ffdwv_fast.data.class_names import CLASS_NAMES
from ffdwv_fast.data.dataset import Dataset
from ffdwv_fast.data.digits import load_digits
from ffdwv_fast.data.folder import load_folder
from ffdwv_fast.data.folder_layout import read_layout
from ffdwv_fast.data.reading import Reading
from ffdwv_fast.errors import InputError

DATASETS: dict[str, Callable[[Path, Reading], Dataset]] = {
    "digits": lambda data_dir, reading: load_digits(),
    "cifar10": lambda data_dir, reading: load_cifar("cifar10", data_dir),
    "cifar100": lambda data_dir, reading: load_cifar("cifar100", data_dir),
    "folder": load_folder,
}


def load_dataset(name: str, data_dir: Path | str, reading: Reading | None = None) -> Dataset:
    """Load a data set, downloading it to ``data_dir`` if it has to be and is not there.

    Args:
        name: a name in :data:`DATASETS`.
        data_dir: the folder of the data sets that do not come with a package.
        reading: how, for those that are folders of images; None: as it is by default.

    Raises:
        InputError: an unknown name, or whatever is wrong with the files.
    """
    _check_name(name, tuple(DATASETS))
    return DATASETS[name](Path(data_dir), reading or Reading())


def class_names_of(name: str, data_dir: Path | str) -> tuple[str, ...]:
    """The class names of a data set, of which no image is read and nothing downloaded.

    Args:
        name: a name in :data:`DATASETS`.
        data_dir: the folder whose class folders "folder" means.

    Raises:
        InputError: an unknown name, or a folder that is laid out otherwise.
    """
    _check_name(name, tuple(DATASETS))
    return CLASS_NAMES[name] if name in CLASS_NAMES else read_layout(Path(data_dir)).class_names


def resolve_dataset(name: str, data_dir: Path | str) -> tuple[str, str]:
    """Which data set a name means; "auto" is CIFAR-10 if it is under ``data_dir``, else digits.

    Args:
        name: "auto" or a name in :data:`DATASETS`.
        data_dir: the folder to look in; an archive placed there by hand counts.

    Returns:
        The name in :data:`DATASETS`, and for "auto" a sentence that says which it is and how to
        get the other (empty where the name was given).

    Raises:
        InputError: an unknown name.
    """
    _check_name(name, ("auto", *DATASETS))
    if name != "auto":
        return name, ""
    place = find_cifar("cifar10", data_dir) or find_archive("cifar10", data_dir)
    if place is not None:
        return "cifar10", f"data set: cifar10, found at {place}; for digits: --dataset digits"
    return "digits", (
        f"data set: digits, as cifar10 is not under {data_dir}; "
        "to download it there: --dataset cifar10"
    )


def _check_name(name: str, allowed: tuple[str, ...]) -> None:
    if name not in allowed:
        raise InputError(f"data set {name!r}: expected one of {', '.join(allowed)}")
