"""The images of a run: what its configuration keeps of them, and how they are read again."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from ffdwv_fast.data.dali_loader import dali_available
from ffdwv_fast.data.dataset import Dataset
from ffdwv_fast.data.image_decoding import CHANNELS
from ffdwv_fast.data.reading import Reading
from ffdwv_fast.data.registry import class_names_of, load_dataset
from ffdwv_fast.data.traits import TRAITS, ImageTraits
from ffdwv_fast.engine.config import TrainConfig
from ffdwv_fast.errors import InputError


def record_of(dataset: Dataset) -> dict[str, object] | None:
    """What a configuration keeps of a data set; None for one that is the same everywhere."""
    origin = dataset.origin
    if origin is None:
        return None
    traits = ImageTraits(dataset.class_names, dataset.image_shape, dataset.mean, dataset.std)
    return {
        **traits.as_record(),
        "flip": dataset.flip,
        "decoder": origin.decoder,
        "files": origin.files,
        "fingerprint": origin.fingerprint,
    }


def traits_of(config: TrainConfig) -> ImageTraits:
    """What a run's network sees; no image is read.

    Raises:
        InputError: the configuration has been changed, and does not say.
    """
    if config.dataset in TRAITS:
        return TRAITS[config.dataset]
    try:
        return ImageTraits.from_record(config.images)
    except ValueError as error:
        raise InputError(
            f"the run's config.json does not describe its images: {error}; take the file that the "
            "run has left"
        ) from None


def images_for(
    config: TrainConfig,
    name: str,
    data_dir: Path,
    device: torch.device | str,
    test_only: bool,
) -> Dataset:
    """A data set for a run's network: of its classes, and normalised as its training images.

    A folder's images are brought to the size of the run's, by its decoder where that is there.

    Args:
        config: of the run.
        name: a name in DATASETS; that of the run, or another one.
        data_dir: where it is, or is downloaded to.
        device: on which images are decoded, where they can be.
        test_only: leave the training images out, where that saves time.

    Raises:
        InputError: the classes or the kind of images are others, which is found before anything is
            read or downloaded; or whatever is wrong with the files.
    """
    traits = traits_of(config)
    _refuse_unfit(traits, config, name, data_dir)
    reading = Reading(
        image_size=traits.shape[1],
        decoder=_decoder(config),
        device=device,
        normalisation=(traits.mean, traits.std),
        test_only=test_only,
    )
    dataset = load_dataset(name, data_dir, reading)
    if name == config.dataset and dataset.origin is not None:
        _warn_if_changed(dataset, config, data_dir)
    return replace(dataset, mean=traits.mean, std=traits.std)


def _record(config: TrainConfig) -> Mapping[str, object]:
    return config.images if isinstance(config.images, Mapping) else {}


def _decoder(config: TrainConfig) -> str:
    used = _record(config).get("decoder")
    return "pillow" if used == "pillow" or not dali_available() else "dali"


def _refuse_unfit(traits: ImageTraits, config: TrainConfig, name: str, data_dir: Path) -> None:
    if name in TRAITS:
        what, their, channels = f"--dataset {name}", TRAITS[name].class_names, TRAITS[name].shape[0]
    else:
        what, their, channels = f"--data-dir {data_dir}", class_names_of(name, data_dir), CHANNELS
    own = traits.class_names
    use = f"use one with the classes and images of the run's {config.dataset}"
    differ = _differences(own, their)
    if len(own) != len(their):
        raise InputError(
            f"{what} has {len(their)} classes, the run's network {len(own)}{differ}; {use}"
        )
    for i, (ours, theirs) in enumerate(zip(own, their, strict=True)):
        if ours != theirs:
            raise InputError(
                f"{what}: its class {i} is {theirs!r}, the run's {ours!r}{differ}; {use}"
            )
    if channels != traits.shape[0]:
        raise InputError(
            f"{what}: its images have {channels} channels, the run's {traits.shape[0]}; {use}"
        )


def _differences(own: Sequence[str], their: Sequence[str]) -> str:
    lacks = [repr(name) for name in own if name not in their]
    adds = [repr(name) for name in their if name not in own]
    parts = [
        f"{verb} {', '.join(names)}"
        for verb, names in (("it lacks", lacks), ("it adds", adds))
        if names
    ]
    return f" ({'; '.join(parts)})" if parts else ""


def _warn_if_changed(dataset: Dataset, config: TrainConfig, data_dir: Path) -> None:
    record, origin = _record(config), dataset.origin
    if record.get("fingerprint") != origin.fingerprint:
        print(
            f"warning: {data_dir} has other files than the run's ({record.get('files')} then, "
            f"{origin.files} now): the numbers are of other images",
            file=sys.stderr,
        )
