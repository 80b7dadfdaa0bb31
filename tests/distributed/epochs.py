"""Epochs in float64 that one process or several train, and what becomes of them.

`torchrun --nproc-per-node 2 -m tests.distributed.epochs FOLDER cpu` leaves FOLDER/rankN.pt.
"""

import sys
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ffdwv_fast.engine import distributed
from ffdwv_fast.engine.trainer import Trainer
from ffdwv_fast.methods import METHODS
from ffdwv_fast.models.peers import Peers
from tests.engine.resident import ResidentLoader, small_dataset
from tests.engine.steps import Training, make_network

BATCH = 8


class Case(NamedTuple):
    """What is trained.

    Attributes:
        method: a name in METHODS.
        images: three batches. Of 17 the last has one image, and the second process none of it.
        sync: synchronised batch normalisation; else it is frozen.
    """

    method: str
    images: int
    sync: bool = False


FROZEN = {
    f"{method}, {images} images": Case(method, images)
    for method, images in (
        *(("ffdwv", 24), ("ffdwv", 23), ("ffdwv", 17)),
        *(("ffdwv-reverse", 17), ("kd", 17), ("dml", 17)),
    )
}
SYNCHRONISED = {f"{n} images, synchronised": Case("ffdwv", n, sync=True) for n in (24, 23, 17)}


def cases(device: torch.device) -> dict[str, Case]:
    """What a device can train."""
    return FROZEN | (SYNCHRONISED if device.type == "cuda" else {})


class DoubleLoader(ResidentLoader):
    """In float64."""

    def __init__(self, *args, **settings):
        super().__init__(*args, **settings)
        self.dtype = torch.float64
        self._pixels = self._pixels.double()


class Silent:
    """Listens and says nothing."""

    def step(self, images, sums):
        pass


def frozen(network: nn.Module) -> nn.Module:
    """A network whose batch normalisation stays in evaluation mode, its statistics not 0 and 1."""
    generator = torch.Generator().manual_seed(4)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
            module.eval()
            module.train = lambda mode=True, module=module: module
    return network


def make_trainer(case: Case, device: torch.device) -> Trainer:
    """A trainer in float64, the same in every process but for its part of the batches."""
    torch.manual_seed(0)
    networks = [make_network().double() for _ in range(METHODS[case.method].networks)]
    if not case.sync:
        networks = [frozen(network) for network in networks]
    model = Peers(networks) if len(networks) > 1 else networks[0]
    training = Training(
        method=case.method, model=model, device=str(device), sync_batch_norm=case.sync
    )
    training.method.double()
    dataset = small_dataset(case.images)
    settings = dict(batch_size=BATCH, device=device, seed=0, shard=distributed.shard())
    return Trainer(
        training.model,
        training.method,
        training.step,
        DoubleLoader(dataset.train, dataset, augment=True, **settings),
        DoubleLoader(dataset.test, dataset, augment=False, **settings),
        training.precision,
        epochs=1,
        lr=0.05,
    )


def recorded(trainer: Trainer) -> dict[str, Tensor]:
    """Gradients and weights of each step of an epoch, its metrics and the predictions after it."""
    found: dict[str, Tensor] = {}
    body = trainer.step.body
    update = body._update

    def record_and_update() -> None:
        step = trainer.batch
        for name, parameter in trainer.model.named_parameters():
            found[f"gradient of {name}, step {step}"] = parameter.grad.clone()
        update()
        for name, parameter in trainer.model.named_parameters():
            found[f"{name} after step {step}"] = parameter.detach().clone()

    trainer.prepare()
    body._update = record_and_update
    (record,) = [one for one in trainer.train(Silent()) if one is not None]
    names = ("train_loss", "train_ce", "train_kl", "train_error", "test_error")
    values = [getattr(record, name) or 0.0 for name in names]
    found["metrics"] = torch.tensor(values, dtype=torch.float64)
    found["logits"], found["labels"] = trainer.predictions
    return {name: tensor.cpu() for name, tensor in found.items()}


def all_recorded(device: torch.device) -> dict[str, dict[str, Tensor]]:
    """`recorded` of each case."""
    return {name: recorded(make_trainer(case, device)) for name, case in cases(device).items()}


def furthest(expected: dict[str, Tensor], found: dict[str, Tensor]) -> tuple[float, str]:
    """The largest |difference| / max(1, |expected|) there is, and where."""
    assert expected.keys() == found.keys()
    return max(
        (((value - found[name]).abs() / value.abs().clamp(min=1)).max().item(), name)
        for name, value in expected.items()
    )


def main() -> None:
    """Run every case and save it."""
    folder, device = Path(sys.argv[1]), torch.device(sys.argv[2])
    with distributed.joined(device):
        own = distributed.own_device(device)
        torch.save(all_recorded(own), folder / f"rank{distributed.rank()}.pt")


if __name__ == "__main__":
    main()
