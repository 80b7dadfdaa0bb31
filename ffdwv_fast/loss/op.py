"""The native op: loading it, its fake (shape-only) and autograd halves, and the eager fast path.

The schema and the kernels are in csrc/ops.cpp and csrc/cpu/. Two ways lead to them:

- `torch.ops.ffdwv_fast.ffdwv_loss`, with fake and autograd registered, is what torch.compile and
  torch.export record. Its backward computes the gradient anew with grad_out folded in.
- `FusedLoss`, a torch.autograd.Function, is what eager code takes: on the CPU the forward pass
  writes the gradient for grad_out = 1 along with the loss, and backward hands it over if it is 1.
"""

import warnings
from pathlib import Path

import torch
from torch import Tensor

from ffdwv_fast.loss.arguments import REDUCTIONS, loss_dtype

LIBRARY = Path(__file__).parent.parent / "libffdwv_fast.so"
BUILD_COMMAND = "pip install --no-build-isolation -e ."

_NAME = "ffdwv_fast::ffdwv_loss"


def _load() -> str | None:
    """Load the native library; None if the op is there to be called, else the reason."""
    if not LIBRARY.exists():
        return "the native library is not built"
    try:
        torch.ops.load_library(str(LIBRARY))
    except OSError as error:
        return f"the native library does not load with torch {torch.__version__}: {error}"
    _register()
    return None


def _register() -> None:
    torch.library.register_fake(_NAME, _fake)
    torch.library.register_autograd(_NAME, _backward, setup_context=_setup_context)


def _fake(
    logits,
    labels,
    similarity,
    neg_entropy,
    grad_out,
    ce_weight,
    soft_weight,
    reduction,
    ignore_index,
    compute_grad,
):
    if any(t is not None and t.device != logits.device for t in (labels, similarity)):
        raise ValueError("ffdwv_loss: labels and similarity must be on the device of the logits")
    rows = (logits.shape[0],) if reduction == REDUCTIONS["none"] else ()
    return (
        logits.new_empty(rows, dtype=loss_dtype(logits)),
        logits.new_empty((3, *rows), dtype=torch.float64),
        logits.new_empty(tuple(logits.shape) if compute_grad else (0,)),
    )


def _setup_context(ctx, inputs, output):
    logits, labels, similarity, neg_entropy, _grad_out, *options, _compute_grad = inputs
    ctx.save_for_backward(logits, labels, similarity, neg_entropy)
    ctx.options = options
    ctx.mark_non_differentiable(*output[1:])


def _backward(ctx, grad_loss, _grad_parts, _grad_grad):
    grad = _gradient(ctx.saved_tensors, grad_loss, ctx.options, torch.ops.ffdwv_fast.ffdwv_loss)
    return grad, *(None,) * 9


def _gradient(inputs, grad_loss, options, call) -> Tensor:
    with torch.no_grad():
        *_, grad = call(*inputs, grad_loss, *options, True)
    return _DifferentiatedOnce.apply(grad, inputs[0]) if torch.is_grad_enabled() else grad


class _DifferentiatedOnce(torch.autograd.Function):
    """Ties a gradient to its logits so that differentiating it again fails instead of giving 0."""

    @staticmethod
    def forward(ctx, grad, _logits):
        return grad.view_as(grad)

    @staticmethod
    def backward(ctx, *_grads):
        raise RuntimeError(
            "ffdwv_loss can be differentiated once, not twice; for a second derivative use "
            "F.cross_entropy and F.kl_div"
        )


class FusedLoss(torch.autograd.Function):
    """The op in eager mode; apply() returns (loss, parts) and differentiates the loss once."""

    @staticmethod
    def forward(ctx, logits, labels, similarity, neg_entropy, *options):
        # Elsewhere than on a CPU whether grad_out is 1 cannot be asked without waiting, so a
        # gradient written now would have to be scaled or computed again in any case.
        now = logits.device.type == "cpu"
        loss, parts, grad = call_below_autograd(
            logits, labels, similarity, neg_entropy, None, *options, now
        )
        ctx.save_for_backward(logits, labels, similarity, neg_entropy, grad)
        ctx.options = options
        ctx.mark_non_differentiable(parts)
        ctx.set_materialize_grads(False)
        return loss, parts

    @staticmethod
    def backward(ctx, grad_loss, _grad_parts):
        none = (None,) * (3 + len(ctx.options))
        if grad_loss is None:
            return None, *none
        *inputs, grad = ctx.saved_tensors
        if torch.is_grad_enabled() or not _is_cpu_one(grad_loss):
            # Computed anew rather than scaled: a float16 gradient may have underflowed, and the
            # saved one must stay as it is for another backward over a retained graph.
            grad = _gradient(inputs, grad_loss, ctx.options, call_below_autograd)
        return grad, *none


def _is_cpu_one(grad_loss: Tensor) -> bool:
    return grad_loss.dim() == 0 and grad_loss.device.type == "cpu" and grad_loss.item() == 1.0


def call_below_autograd(*args) -> tuple[Tensor, Tensor, Tensor]:
    """The op without its autograd half, which costs more than a small kernel."""
    with torch._C._AutoDispatchBelowAutograd():
        return torch.ops.ffdwv_fast.ffdwv_loss.default(*args)


WHY_NOT_NATIVE = _load()
NATIVE_DEVICES = frozenset(
    device
    for device, key in (("cpu", "CPU"), ("cuda", "CUDA"), ("meta", "Meta"))
    if WHY_NOT_NATIVE is None and torch._C._dispatch_has_kernel_for_dispatch_key(_NAME, key)
)
_warned: set[str] = set()


def warn_not_native(device_type: str) -> None:
    """Say, once per device type, that the reference is used instead, and how to build the op."""
    if device_type in _warned:
        return
    _warned.add(device_type)
    reason, command = WHY_NOT_NATIVE, BUILD_COMMAND
    if reason is None:
        reason = f"the native library was built without {device_type} kernels"
        command = f"FFDWV_CMAKE_ARGS=-DFFDWV_{device_type.upper()}=ON {BUILD_COMMAND}"
    warnings.warn(
        f"ffdwv_fast: {reason}; the loss runs on the slower PyTorch reference. "
        f"Build it, in a checkout, with: {command}",
        RuntimeWarning,
        stacklevel=3,
    )
