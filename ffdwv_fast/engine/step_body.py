"""What a training step computes, apart from how it is launched."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ffdwv_fast.engine import distributed
from ffdwv_fast.engine.metrics import MetricSums
from ffdwv_fast.engine.precision import Precision
from ffdwv_fast.engine.speedups import Speedups
from ffdwv_fast.engine.weight_copies import WeightCopies
from ffdwv_fast.methods import Method

MOMENTUM = 0.9


class StepBody:
    """Forward, loss, backward, update and metrics of a batch; waits for nothing.

    Everything that a step reads and writes beside its batch is a tensor made here that stays in
    its place: parameters, momentum, the learning rate, the sums of the losses. So the launches of
    a call can be recorded once and played again.

    Several processes each take a step on their part of the batch, and all the same one: on the mean
    over the whole batch.

    Args:
        model: the network, on its device. Several networks are `Peers`: one optimizer over all does
            what one for each would.
        method: the loss, on the same device; it may bring networks of its own, see
            `Method.targets`, which a step runs and does not change.
        precision: mixed precision.
        weight_decay: of every parameter, as in the paper's lineage.
        speedups: which are on.
        compiled: whether torch.compile runs the network.
        sync_batch_norm: whether batch normalisation sees the whole batch of several processes, not
            each its part.

    Attributes:
        sums: the losses since the last reset.
        compiled: as given.
    """

    def __init__(
        self,
        model: nn.Module,
        method: Method,
        precision: Precision,
        weight_decay: float,
        speedups: Speedups,
        compiled: bool = False,
        sync_batch_norm: bool = False,
    ):
        device = next(model.parameters()).device
        self._model = model
        self._method = method
        self._precision = precision
        self._direct = speedups.direct_gradient and method.gives_gradient
        self._fused = speedups.fused_optimizer
        self.sums = MetricSums(device)
        self.compiled = compiled

        copies = speedups.weight_copies and precision.dtype is not None
        if distributed.world_size() > 1:
            copies = False  # whose gradients would be averaged in low precision
        self._copies = WeightCopies(model, precision.dtype) if copies else None
        network = model if self._copies is None else self._copies.twin
        self._differentiated = list(network.parameters())
        self._eager = distributed.parallel(network, sync_batch_norm)
        self._network = torch.compile(self._eager, dynamic=False) if compiled else self._eager

        self._rate = torch.zeros((), device=device)
        self._optimizer = _optimizer(model, self._rate, weight_decay, speedups.fused_optimizer)
        self._one = torch.ones((), device=device)
        precision.scaler.scale(self._one)  # makes the scale's tensors, which a capture must find

    def set_learning_rate(self, rate: float) -> None:
        """Of the steps from now on."""
        self._rate.fill_(rate)
        if not self._fused:  # the other implementations would wait for a tensor
            for group in self._optimizer.param_groups:
                group["lr"] = rate

    def __call__(self, images: Tensor, labels: Tensor, total: int | None = None) -> None:
        """Take one step on a batch; the host's count of images is left out.

        Args:
            images: [N, C, H, W], the part of this process.
            labels: [N].
            total: images of all processes; None: N, and this process is alone.
        """
        own, scaler = len(labels), self._precision.scaler
        weight = 1.0 if total is None else distributed.loss_weight(own, total)
        network = self._network if own else self._eager  # torch.compile fails on no images
        with self._precision.autocast():
            logits = network(images)
            targets = self._method.targets(images)
            loss, parts, grad = self._loss(logits, labels, targets, weight)
        if grad is None:
            scaler.scale(loss if weight == 1.0 else loss * weight).backward()
        else:
            logits.backward(grad)
        if self._copies is not None:
            self._copies.gradients_to_weights()
        self._update()
        if self._copies is not None:
            self._copies.weights_to_copies()
        for parameter in self._differentiated:
            parameter.grad = None
        if own:  # else their means are NaN
            self.sums.add_on_device(loss, parts, own)

    def _update(self) -> None:
        scaler = self._precision.scaler
        if not scaler.is_enabled():
            self._optimizer.step()
            return
        before = scaler.scale(self._one)
        scaler.step(self._optimizer)
        scaler.update()
        if distributed.is_first():  # all skip the same ones
            self.sums.add_skipped(scaler.scale(self._one) < before)

    def _loss(
        self, logits: Tensor, labels: Tensor, targets: Tensor | None, weight: float
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Loss, parts and, where autograd is not to compute it, the scaled, weighted gradient."""
        if not self._direct:
            return *self._method(logits, labels, targets), None
        scaler = self._precision.scaler
        scale = weight
        if scaler.is_enabled():
            scale = scaler.scale(self._one if weight == 1.0 else self._one * weight)
        return self._method.gradient(logits, labels, scale, targets)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Whatever is run within leaves no trace in what a step changes."""
        scaler = self._precision.scaler
        copies = [] if self._copies is None else self._copies.copies
        tensors, scale = [*self.tensors().values(), *copies], scaler.state_dict()
        saved = [t.detach().clone() for t in tensors]
        try:
            yield
        finally:
            with torch.no_grad():
                for tensor, value in zip(tensors, saved, strict=True):
                    tensor.copy_(value)
            scaler.load_state_dict(scale)

    def tensors(self) -> dict[str, Tensor]:
        """What a step changes, by name and in its place.

        Left out are the loss scale, which is `Precision`'s, and copies of the weights.
        """
        state, parameters = self._optimizer.state, dict(self._model.named_parameters())
        return {
            **{f"model.{name}": parameter for name, parameter in parameters.items()},
            **{f"model.{name}": buffer for name, buffer in self._model.named_buffers()},
            **{f"momentum.{name}": state[p]["momentum_buffer"] for name, p in parameters.items()},
            "sums": self.sums.values,
        }

    @torch.no_grad()
    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from the values that `tensors` once had; recordings of a step stay valid.

        Raises:
            ValueError: they are of another network.
        """
        own = self.tensors()
        shapes = {name: tensor.shape for name, tensor in own.items()}
        if shapes != {name: tensor.shape for name, tensor in tensors.items()}:
            raise ValueError("these tensors are of another network")
        for name, tensor in own.items():
            tensor.copy_(tensors[name])
        if self._copies is not None:
            self._copies.weights_to_copies()


def _optimizer(
    model: nn.Module, rate: Tensor, weight_decay: float, fused: bool
) -> torch.optim.Optimizer:
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=rate if fused else 0.0,  # set before the first step
        momentum=MOMENTUM,
        nesterov=True,
        weight_decay=weight_decay,
        fused=fused,
    )
    # As a first step without them would leave them, and needed before a capture. Left to itself,
    # the fused kernel keeps uninitialised momentum where the first step's loss scale overflows.
    for parameter in model.parameters():
        optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer
