"""Small training steps to compare, on any device."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ffdwv_fast import resnet8
from ffdwv_fast.data.loader import Batch
from ffdwv_fast.engine.precision import Precision
from ffdwv_fast.engine.speedups import Speedups
from ffdwv_fast.engine.step import EagerStep, Step
from ffdwv_fast.engine.step_body import StepBody
from ffdwv_fast.engine.step_graph import CudaGraphRecorder, GraphStep, Recorder
from ffdwv_fast.methods import METHODS, Method
from ffdwv_fast.models.peers import Peers

CLASSES = 10
SIZES = (16, 16, 16, 16, 7)  # of an epoch's batches


class Training:
    """A network, its loss and what takes its steps, the same at every call.

    Args:
        kind: "eager" or "graph": a CUDA graph, or on a CPU its twin.
        amp: "off", "bf16" or "fp16".
        loss_scale: the first one, where there is scaling; on a CPU this turns it on.
    """

    def __init__(
        self,
        kind: str = "eager",
        amp: str = "off",
        speedups: Speedups = Speedups(),  # noqa: B008 - frozen
        *,
        method: str = "ffdwv",
        compiled: bool = False,
        loss_scale: float | None = None,
        device: str = "cpu",
        model: nn.Module | None = None,
        sync_batch_norm: bool = False,
    ):
        torch.manual_seed(0)
        on = torch.device(device)
        if model is None:
            networks = [make_network(speedups) for _ in range(METHODS[method].networks)]
            model = Peers(networks) if len(networks) > 1 else networks[0]
        self.model = model.to(on)
        self.precision = Precision(amp, on)
        if loss_scale is not None:
            self.precision.scaler = torch.amp.GradScaler(device, init_scale=loss_scale)
        self.method = make_method(method).to(on)
        self.body = StepBody(
            self.model, self.method, self.precision, 1e-2, speedups, compiled, sync_batch_norm
        )
        self.step: Step = EagerStep(self.body)
        if kind == "graph":
            recorder = CudaGraphRecorder(on) if on.type == "cuda" else Recorder()
            self.step = GraphStep(self.body, recorder)

    def train(self, batches: Sequence[Batch], rates: Sequence[float]) -> None:
        """An epoch of one step for each rate."""
        self.step.begin_epoch(rates[0])
        for k, rate in enumerate(rates):
            self.body.set_learning_rate(rate)
            self.step(batches[k % len(batches)])

    def state(self) -> dict[str, Tensor]:
        """Copies of all that a step changes but the loss scale, by name."""
        buffers = self.body._optimizer.state
        return {
            **{name: t.detach().clone() for name, t in self.model.state_dict().items()},
            **{
                f"{name}, momentum": buffers[p]["momentum_buffer"].clone()
                for name, p in self.model.named_parameters()
            },
            "sums": self.step.sums.values.clone(),
        }


def make_network(speedups: Speedups = Speedups()) -> nn.Module:  # noqa: B008 - frozen
    return resnet8(
        CLASSES,
        in_channels=1,
        channels_last=speedups.channels_last,
        skip_counters=speedups.skip_counters,
    )


def make_similarity() -> Tensor:
    """Rows of a softmax, the largest entry of each at its own class, as in the paper's S."""
    generator = torch.Generator().manual_seed(1)
    distances = 4 * torch.rand(CLASSES, CLASSES, generator=generator)
    return torch.softmax(-distances.fill_diagonal_(0), dim=1)


def make_method(name: str, **ingredients) -> Method:
    """A method with soft weight 0.7, and a teacher of its own where it needs one."""
    if METHODS[name].needs_teacher and "teacher" not in ingredients:
        with torch.random.fork_rng():
            torch.manual_seed(3)
            ingredients["teacher"] = make_network()
    similarity = make_similarity() if METHODS[name].needs_similarity else None
    return METHODS[name](similarity, 0.7, **ingredients)


def make_batches(sizes: Sequence[int] = SIZES, device: str = "cpu", seed: int = 2) -> list[Batch]:
    """Random images [N, 1, 8, 8] in channels-last memory, and labels."""
    generator = torch.Generator().manual_seed(seed)
    return [
        Batch(
            torch.randn(size, 8, 8, 1, generator=generator).to(device).permute(0, 3, 1, 2),
            torch.randint(0, CLASSES, (size,), generator=generator).to(device),
        )
        for size in sizes
    ]


def differences(a: dict[str, Tensor], b: dict[str, Tensor]) -> list[str]:
    """Names of the tensors that are not the same bits."""
    assert a.keys() == b.keys()
    return [name for name in a if not torch.equal(a[name], b[name])]


def assert_close(a: dict[str, Tensor], b: dict[str, Tensor], tolerance: float) -> None:
    """Two states differ by rounding alone: absolutely and relatively by the tolerance at most."""
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(
            a[name].double(),
            b[name].double(),
            rtol=tolerance,
            atol=tolerance,
            msg=lambda message, name=name: f"{name}: {message}",
        )
