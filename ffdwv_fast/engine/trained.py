"""A finished run, opened again: its network, ready to predict, and what is known of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ffdwv_fast.data.registry import DATASETS
from ffdwv_fast.data.traits import ImageTraits
from ffdwv_fast.engine.config import TrainConfig
from ffdwv_fast.engine.json_file import read_object
from ffdwv_fast.engine.network import network_of
from ffdwv_fast.engine.run_folder import COMMAND
from ffdwv_fast.engine.run_images import traits_of
from ffdwv_fast.engine.tensor_file import read_tensors
from ffdwv_fast.errors import InputError
from ffdwv_fast.models.build import refuse_unknown_model

OTHER = "name another run"


class FromPixels(nn.Module):
    """A network with its normalisation: logits [N, C] of uint8 images [N, H, W, channels].

    (pixel / 255 - mean) / std, in float32 as the loaders compute it.

    Args:
        network: gives [N, C] logits of normalised images [N, channels, H, W].
        mean: one number per channel, in units of pixel / 255.
        std: one number per channel, in units of pixel / 255.
    """

    def __init__(self, network: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]):
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("std", torch.tensor(std))

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits [N, C] of uint8 images [N, H, W, channels]."""
        return self.network(self.normalised(pixels))

    def normalised(self, pixels: Tensor) -> Tensor:
        """The images as the network sees them: float32 [N, channels, H, W]."""
        return ((pixels.float() / 255 - self.mean) / self.std).permute(0, 3, 1, 2)


@dataclass(frozen=True, eq=False)
class Trained:
    """What a finished run has left.

    Attributes:
        folder: where.
        network: in evaluation mode, on the device; float32. Of two networks the first.
        config: the run's.
        summary: the run's, as summary.json holds it.
        images: what the network sees: class names, shape, normalisation.
        device: where the network is.
    """

    folder: Path
    network: nn.Module
    config: TrainConfig
    summary: Mapping[str, object]
    images: ImageTraits
    device: torch.device

    def from_pixels(self) -> FromPixels:
        """The network with its normalisation, for images as files hold them."""
        module = FromPixels(self.network, self.images.mean, self.images.std)
        return module.to(self.device).eval()


def load_trained(folder: Path, device: torch.device) -> Trained:
    """Open a finished run's folder.

    No image is read and nothing is downloaded.

    Args:
        folder: as a run leaves it; of several seeds that of one, DIR/seedN.
        device: where the network is to be.

    Raises:
        InputError: it is no run's folder, the run has not finished, or what is in it is damaged or
            of another version.
    """
    _refuse_what_is_no_finished_run(folder)
    config = _config(folder)
    images = traits_of(config)
    network = network_of(config, len(images.class_names), images.shape)
    file = folder / "model.safetensors"
    weights, _ = read_tensors(file, "RUN")
    try:
        network.load_state_dict(weights)
    except RuntimeError:
        raise InputError(
            f"RUN {file}: these are not the weights of a {config.model} with shortcut "
            f"{config.shortcut} for {config.dataset}, as config.json says; take the file that the "
            "run has left"
        ) from None
    summary = read_object(folder / "summary.json", "RUN", OTHER)
    return Trained(folder, network.to(device).eval(), config, summary, images, device)


def _refuse_what_is_no_finished_run(folder: Path) -> None:
    if not folder.is_dir():
        what = "a file" if folder.exists() else "not there"
        raise InputError(f"RUN {folder} is {what}; name the folder that a run has left")
    if not (folder / "config.json").exists():
        seeds = sorted(file.parent for file in folder.glob("seed*/config.json"))
        if seeds:
            names = ", ".join(seed.name for seed in seeds)
            raise InputError(
                f"RUN {folder} holds the runs of several seeds, {names}; name one, {seeds[0]}"
            )
        raise InputError(
            f"RUN {folder} is not a run's folder, as it has no config.json; name the folder that "
            "a run has left"
        )
    if not (folder / "summary.json").exists():
        # Of several seeds the command lies beside the runs.
        begun = next((f for f in (folder, folder.parent) if (f / COMMAND).exists()), folder)
        raise InputError(
            f"RUN {folder} has not finished; go on with: python -m ffdwv_fast.train --resume "
            f"{begun}"
        )


def _config(folder: Path) -> TrainConfig:
    path = folder / "config.json"
    content = read_object(path, "RUN", OTHER)
    _refuse_unknown_names(path, content)
    try:
        return TrainConfig(**{**content, "without": tuple(content["without"])})
    except (KeyError, TypeError) as error:
        raise InputError(
            f"RUN {path} is of another version of this package ({error}); open it with that one"
        ) from None


def _refuse_unknown_names(path: Path, config: Mapping[str, object]) -> None:
    dataset = config.get("dataset")
    if not isinstance(dataset, str) or dataset not in DATASETS:
        raise InputError(
            f"RUN {path}: its dataset is {dataset!r}; this version knows {', '.join(DATASETS)}"
        )
    try:
        refuse_unknown_model(str(config.get("model")))
    except InputError as error:
        raise InputError(f"RUN {path}: its model {error}") from None
