"""The teacher of knowledge distillation: read from a file, or trained once and kept."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import nn

from ffdwv_fast.data.dataset import Dataset
from ffdwv_fast.engine import distributed
from ffdwv_fast.engine.config import TrainConfig
from ffdwv_fast.engine.run_folder import differences
from ffdwv_fast.engine.tensor_file import read_tensors
from ffdwv_fast.errors import InputError
from ffdwv_fast.folder_lock import locked
from ffdwv_fast.models.build import as_file_name

SEED = 0  # of every trained teacher: one serves the students of all seeds

# What a teacher's weights depend on beside its training images; devices, loaders and speed-ups
# give the same ones up to rounding.
_DECISIVE = (
    *("dataset", "train_limit", "validation", "model", "shortcut", "epochs", "batch_size", "lr"),
    *("weight_decay", "amp", "loss_scale", "seed"),
)

Train = Callable[[TrainConfig, Dataset, None, Path], dict[str, object]]


def teacher_weights(config: TrainConfig, dataset: Dataset, train: Train) -> Path:
    """The file with the teacher's weights; the teacher is trained if it has not been.

    A teacher is trained on the labels alone by the student's recipe, on the same training images,
    and left as a run's folder under `config.teacher_dir`, named by a hash of what its weights
    depend on. It gets its name when it is complete; one that was interrupted is gone on with. With
    `config.validation` the images held out depend on the seed, and so does the teacher, which must
    not have seen them.

    Args:
        config: of the student; its `teacher` says which.
        dataset: the data set that the student's run is given.
        train: runs a configuration: `engine.run.run`.
    """
    if config.teacher["file"] is not None:
        if config.validation is not None:
            print("teacher: from a file, which may have been trained on the validation images")
        return Path(config.teacher["file"])
    teacher = _configuration(config)
    key = _key(teacher, dataset)
    folder = Path(config.teacher_dir) / f"{teacher.dataset}-{as_file_name(teacher.model)}-{key}"
    if not distributed.of_first((folder / "summary.json").exists()):
        print(f"teacher: {teacher.model} is trained now and kept in {folder}", flush=True)
        _train_into(folder, teacher, dataset, train)
    print(f"teacher: {folder}", flush=True)
    return folder / "model.safetensors"


def load_teacher(network: nn.Module, file: Path) -> nn.Module:
    """Give a network the weights of a file.

    Args:
        network: of the kind that the weights are for; changed in place.
        file: as a run leaves it, model.safetensors.

    Raises:
        InputError: the file cannot be read or holds the weights of another network.
    """
    weights, _ = read_tensors(file, "--teacher")
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise InputError(
            f"--teacher {file}: these weights are not of the network and classes expected; name "
            "the network with --teacher-model and --shortcut"
        ) from error
    return network


def _configuration(config: TrainConfig) -> TrainConfig:
    return replace(
        config,
        method="vanilla",
        model=config.teacher["model"],
        seed=SEED if config.validation is None else config.seed,
        soft_weight=0.0,
        soft_weight_schedule="constant",
        loss_scale=1.0,
        similarity=None,
        teacher=None,
        pretrained=None,
        tensorboard=False,
    )


def _key(teacher: TrainConfig, dataset: Dataset) -> str:
    """Sixteen hexadecimal digits: the same configuration on the same images, the same key."""
    decisive = {name: getattr(teacher, name) for name in _DECISIVE}
    if teacher.images is not None:  # of which not all is in the pixels: whether they are mirrored
        decisive["images"] = teacher.images
    digest = hashlib.sha256(json.dumps(decisive, sort_keys=True).encode())
    for array in (dataset.train.labels, dataset.train.images):
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()[:16]


def _train_into(folder: Path, teacher: TrainConfig, dataset: Dataset, train: Train) -> None:
    """Train a teacher, or go on training it, unless another run has it finished by then."""
    unfinished = folder.with_name(f".{folder.name}.part")
    with _alone_on(folder):
        if distributed.of_first((folder / "summary.json").exists()):
            return
        if distributed.is_first() and _is_of_another(unfinished, teacher):
            shutil.rmtree(unfinished)
        if not distributed.of_first((unfinished / "summary.json").exists()):
            train(teacher, dataset, None, unfinished)
        if distributed.is_first():
            os.replace(unfinished, folder)
        distributed.barrier()


def _is_of_another(unfinished: Path, teacher: TrainConfig) -> bool:
    """Whether a teacher was begun in another way, say on another device."""
    return (unfinished / "config.json").exists() and bool(differences(unfinished, teacher))


@contextmanager
def _alone_on(folder: Path) -> Iterator[None]:
    """Keep a teacher to this run, whose rank 0 asks; wait while another one trains it."""
    if not distributed.is_first():
        yield
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder.with_name(f".{folder.name}.lock"), _tell_of_waiting):
        yield


def _tell_of_waiting() -> None:
    print("teacher: waiting for another process, which trains it", flush=True)
