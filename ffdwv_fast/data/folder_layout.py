"""Where the labelled images of a folder are, before any is opened.

DIR/train/CLASS/*.jpg to train on and DIR/val/CLASS/*.jpg to evaluate on; DIR/test where there is no
DIR/val; without either one image in five of each class is held out. Where DIR has no train/ with
class folders and neither val/ nor test/, its own folders are the classes.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ffdwv_fast.errors import InputError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
TRAIN, TEST = "train", ("val", "test")  # of the latter the first that is there
SHARE = 5  # one image in so many is held out
SPLIT_SEED = 0  # of every run: runs of all seeds are evaluated on the same images
LAYOUT = "expected DIR/train/CLASS/*.jpg and DIR/val/CLASS/*.jpg, or DIR/CLASS/*.jpg alone"


class ImageFile(NamedTuple):
    """A file that is called like an image.

    Attributes:
        path: where it is.
        name: its path below the folder, with "/".
        size: in bytes; 0 for what is no file that can be opened.
        label: of its class.
    """

    path: Path
    name: str
    size: int
    label: int


@dataclass(frozen=True)
class FolderLayout:
    """The images of a folder.

    Attributes:
        folder: as the user named it.
        class_names: the class folders' names, sorted; label i is ``class_names[i]``.
        train: to train on, by class and name.
        test: to evaluate on, likewise.
        source: where the latter come from, for people.
        ignored: how many hidden files, files of other kinds and folders are passed over.
    """

    folder: Path
    class_names: tuple[str, ...]
    train: tuple[ImageFile, ...]
    test: tuple[ImageFile, ...]
    source: str
    ignored: int

    def fingerprint(self) -> str:
        """The SHA-256, in hexadecimal, of all files' names and sizes, sorted."""
        lines = sorted(f"{file.size} {file.name}" for file in (*self.train, *self.test))
        return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()

    def description(self) -> str:
        """A line for people."""
        tested = {file.label for file in self.test}
        untested = [name for i, name in enumerate(self.class_names) if i not in tested]
        return (
            f"{self.folder}: {len(self.class_names)} classes, {len(self.train):,} images to train "
            f"on, {len(self.test):,} to evaluate on ({self.source})"
            + (f"; none to evaluate on of {', '.join(untested)}" if untested else "")
            + (f"; ignored: {self.ignored:,} other files and folders" if self.ignored else "")
        )


def read_layout(folder: Path) -> FolderLayout:
    """Look through a folder.

    Raises:
        InputError: it is not there or cannot be read, is laid out otherwise, has fewer than two
            classes, a class without images, or images to evaluate on of a class that is not
            trained on.
    """
    top = _look_into(folder)
    train = _look_into(top.folders[TRAIN]) if TRAIN in top.folders else None
    if train is not None and train.folders:
        return _divided(folder, top, train)
    if not top.folders or any(name in top.folders for name in TEST):
        raise InputError(f"--data-dir {folder}: no class folders are found; {LAYOUT}")
    labels = _labels(folder, top.folders)
    files, ignored = _images_of_classes(folder, folder, top.folders, labels)
    return _held_out(folder, tuple(labels), files, ignored + top.ignored + len(top.images))


class _Content(NamedTuple):
    """What is in a folder, sorted by name; what is hidden or of another kind is only counted."""

    folders: dict[str, Path]
    images: list[Path]
    ignored: int


def _look_into(folder: Path) -> _Content:
    content = _Content({}, [], 0)
    ignored = 0
    for entry in _entries(folder):
        path = folder / entry.name
        if entry.name.startswith("."):
            ignored += 1
        elif _is_folder(entry):
            content.folders[entry.name] = path
        elif entry.name.lower().endswith(SUFFIXES):
            content.images.append(path)
        else:
            ignored += 1
    return content._replace(ignored=ignored)


def _entries(folder: Path) -> list[os.DirEntry]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(
            f"--data-dir: {folder} cannot be read ({error.strerror}); name a folder of images: "
            f"{LAYOUT}"
        ) from None


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _divided(folder: Path, top: _Content, train: _Content) -> FolderLayout:
    """DIR/train with class folders, and perhaps a folder to evaluate on."""
    labels = _labels(folder / TRAIN, train.folders)
    files, ignored = _images_of_classes(folder, folder / TRAIN, train.folders, labels)
    ignored += train.ignored + len(train.images) + top.ignored + len(top.images)
    name = next((name for name in TEST if name in top.folders), None)
    ignored += len(top.folders) - (1 if name is None else 2)
    if name is None:
        return _held_out(folder, tuple(labels), files, ignored)
    test = _look_into(folder / name)
    tested, passed_over = _images_of_classes(folder, folder / name, test.folders, labels)
    return FolderLayout(
        folder=folder,
        class_names=tuple(labels),
        train=files,
        test=tested,
        source=f"in {name}/",
        ignored=ignored + test.ignored + len(test.images) + passed_over,
    )


def _labels(folder: Path, classes: Mapping[str, Path]) -> dict[str, int]:
    odd = next((name for name in classes if not name.isprintable()), None)
    if odd is not None:  # it could be neither printed nor looked up
        raise InputError(
            f"--data-dir: the class folder {odd!r} in {folder} has a character in its name that "
            "cannot be printed; rename it"
        )
    if len(classes) < 2:
        raise InputError(
            f"--data-dir: {folder} has one class folder, {next(iter(classes))}, and training needs "
            f"two or more; {LAYOUT}"
        )
    return {name: label for label, name in enumerate(classes)}


def _images_of_classes(
    folder: Path, part: Path, classes: Mapping[str, Path], labels: Mapping[str, int]
) -> tuple[tuple[ImageFile, ...], int]:
    """The images in class folders, and how much else is there.

    Raises:
        InputError: a folder is of no known class, or has no images; or there is none.
    """
    unknown = [name for name in classes if name not in labels]
    if unknown:
        raise InputError(
            f"--data-dir: {part} has class folders that {folder / TRAIN} lacks: "
            f"{', '.join(map(repr, unknown))}; add images to train on, or remove them"
        )
    if not classes:
        raise InputError(f"--data-dir: {part} has no class folders; {LAYOUT}")
    files: list[ImageFile] = []
    ignored = 0
    for name, place in classes.items():
        content = _look_into(place)
        if not content.images:
            raise InputError(
                f"--data-dir: the class folder {place} has no images ({', '.join(SUFFIXES)}); add "
                "some, or remove it"
            )
        files += _image_files(folder, content.images, labels[name])
        ignored += content.ignored + len(content.folders)
    return tuple(files), ignored


def _image_files(folder: Path, paths: Sequence[Path], label: int) -> Iterator[ImageFile]:
    for path in paths:
        try:
            size = os.stat(path).st_size
        except OSError:  # a broken link, say: it is named when it cannot be opened
            size = 0
        yield ImageFile(path, path.relative_to(folder).as_posix(), size, label)


def _held_out(
    folder: Path, class_names: tuple[str, ...], files: Sequence[ImageFile], ignored: int
) -> FolderLayout:
    """One image in five of each class, rounded down but one at least, to evaluate on."""
    train: list[ImageFile] = []
    test: list[ImageFile] = []
    for label, group in groupby(files, key=lambda file: file.label):
        members = list(group)
        if len(members) < 2:
            raise InputError(
                f"--data-dir: class {class_names[label]!r} in {folder} has one image, of which "
                "none can be held out to evaluate on; add some, or lay images out in train/ and "
                "val/"
            )
        order = np.random.default_rng([SPLIT_SEED, label]).permutation(len(members))
        held_out = set(order[: max(1, len(members) // SHARE)].tolist())
        for number, file in enumerate(members):
            (test if number in held_out else train).append(file)
    return FolderLayout(
        folder=folder,
        class_names=class_names,
        train=tuple(train),
        test=tuple(test),
        source=f"one in {SHARE} of each class, drawn once for all seeds, as there is no val/",
        ignored=ignored,
    )
