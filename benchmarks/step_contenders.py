"""Who takes the training step: plain PyTorch, and the package with one ingredient more each."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from benchmarks import reference_train
from ffdwv_fast.data.loader import Batch
from ffdwv_fast.engine.precision import AUTO, Precision, chosen_amp, computes_in_bf16
from ffdwv_fast.engine.speedups import SPEEDUPS, Speedups
from ffdwv_fast.engine.step import EagerStep
from ffdwv_fast.engine.step_body import StepBody
from ffdwv_fast.engine.step_graph import CudaGraphRecorder, GraphStep
from ffdwv_fast.errors import InputError
from ffdwv_fast.methods import METHODS
from ffdwv_fast.models import MODELS

REFERENCE = "reference"
PLAIN, PACKAGE = "plain", "package"
CLASSES = 10
CHANNELS = 3
LEARNING_RATE = 1e-3  # small: the steps are many, and on random images
WEIGHT_DECAY = 1e-4


class Case(NamedTuple):
    """One block of the table.

    Attributes:
        model: a name in MODELS.
        batch_size: images per step.
        device: where it is taken.
    """

    model: str
    batch_size: int
    device: torch.device


class Running(NamedTuple):
    """A contender at work.

    Attributes:
        step: takes a step.
        loss: the sum of the losses since the start, each times its images; waits for the device.
    """

    step: Callable[[Batch], None]
    loss: Callable[[], float]


class Contender(NamedTuple):
    """One line of the table.

    Attributes:
        name: in the table.
        kind: PLAIN, the reference among them, or PACKAGE.
        make: sets it up; the weights depend on nothing but the case.
        amp: whether it asks for bfloat16; a package's line then has what `train --amp` has, which
            is float32 on a CPU that would emulate it.
        channels_last: the memory format of its images.
        compiled: whether torch.compile is in it, which takes minutes.
        missing: why it cannot run on a device, or None.
    """

    name: str
    kind: str
    make: Callable[[Case], Running]
    amp: bool
    channels_last: bool
    compiled: bool = False
    missing: Callable[[torch.device], str | None] = lambda _device: None

    def in_bf16(self, device: torch.device) -> bool:
        """Whether it computes in bfloat16 there."""
        return self.amp and (self.kind == PLAIN or computes_in_bf16(device))

    def emulates_bf16(self, device: torch.device) -> bool:
        """Whether it computes in bfloat16 without instructions for it: up to ten times slower."""
        return self.in_bf16(device) and not computes_in_bf16(device)


def asked_cases(
    models: list[str], batch_sizes: list[int], device: torch.device, tiny: bool
) -> list[Case]:
    """Every model with every batch size; a tiny case where nothing is to be measured.

    Raises:
        InputError: there is no model of a name.
    """
    for model in models:
        if model not in MODELS:
            raise InputError(f"--models {model}: expected one of {', '.join(MODELS)}")
    if tiny:
        return [Case("resnet8", 4, device)]
    return [Case(model, n, device) for model in models for n in batch_sizes]


def similarity(device: torch.device) -> Tensor:
    """S for random images: the rows that similarity_matrix gives are of this kind."""
    generator = torch.Generator().manual_seed(3)
    distances = torch.rand(CLASSES, CLASSES, generator=generator) * 4 + 2
    return torch.softmax(-distances.fill_diagonal_(0), dim=1).to(device)


def plain(amp: bool, channels_last: bool, compiled: bool) -> Contender:
    """The reference's step, with what a line or two of PyTorch add to it."""
    parts = ("amp", amp), ("channels-last", channels_last), ("compile", compiled)
    chosen = [name for name, on in parts if on]

    def make(case: Case) -> Running:
        torch.manual_seed(0)
        model = reference_train.make_model(case.model, CLASSES, CHANNELS).to(case.device)
        optimizer = reference_train.make_optimizer(model, LEARNING_RATE, WEIGHT_DECAY)
        if channels_last:
            model = _in_channels_last(model)
        network = torch.compile(model, dynamic=False) if compiled else model
        sums, matrix = reference_train.Sums(case.device), similarity(case.device)

        def forward(images: Tensor) -> Tensor:
            with torch.autocast(case.device.type, torch.bfloat16, enabled=amp):
                return network(images).float()

        def step(batch: Batch) -> None:
            reference_train.train_step(forward, optimizer, batch.images, batch.labels, matrix, sums)

        return Running(step, lambda: sums.loss.item())

    name = "plain " + " ".join(chosen) if chosen else REFERENCE
    return Contender(name, PLAIN, make, amp, channels_last, compiled)


def _in_channels_last(model: nn.Module) -> nn.Module:
    model._format = torch.channels_last  # the network sets the format of its input itself
    return model.to(memory_format=torch.channels_last)


def package(
    name: str, on: tuple[str, ...], graph: bool = False, compiled: bool = False
) -> Contender:
    """The package's step in the precision of `train --amp` with the speed-ups that are named."""
    speedups = Speedups.without(set(SPEEDUPS) - set(on))

    def make(case: Case) -> Running:
        torch.manual_seed(0)
        model = MODELS[case.model](
            CLASSES,
            in_channels=CHANNELS,
            channels_last=speedups.channels_last,
            skip_counters=speedups.skip_counters,
        ).to(case.device)
        method = METHODS["ffdwv"](similarity(case.device), 1.0).to(case.device)
        precision = Precision(chosen_amp(AUTO, case.device), case.device)
        body = StepBody(model, method, precision, WEIGHT_DECAY, speedups, compiled)
        body.set_learning_rate(LEARNING_RATE)
        step = GraphStep(body, CudaGraphRecorder(case.device)) if graph else EagerStep(body)
        return Running(step, lambda: step.sums.values[0].item())

    def missing(device: torch.device) -> str | None:
        return "needs a GPU" if graph and device.type != "cuda" else None

    return Contender(name, PACKAGE, make, True, speedups.channels_last, compiled, missing)


def _contenders() -> list[Contender]:
    choices = [(a, f, c) for c in (False, True) for f in (False, True) for a in (False, True)]
    found = [plain(*choice) for choice in choices]
    order = ("channels-last", "skip-counters", "direct-gradient", "fused-optimizer")
    on: tuple[str, ...] = ("channels-last",)
    found.append(package("fused loss", on))
    for name in (*order[1:], "weight-copies"):
        on = (*on, name)
        found.append(package(f"+ {name}", on))
    found.append(package("+ cuda-graph", on, graph=True))
    found.append(package("+ compile", on, compiled=True))
    found.append(package("+ cuda-graph compile", on, graph=True, compiled=True))
    return found


AMP_STEP = {"cpu": "+ weight-copies", "cuda": "+ cuda-graph"}  # what `train --amp` runs
CONTENDERS: dict[str, Contender] = {one.name: one for one in _contenders()}
