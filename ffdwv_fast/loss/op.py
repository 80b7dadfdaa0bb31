"""The native op: loading it, its fake (shape-only) and autograd halves, and the eager fast path.

The schema and the kernels are in csrc/ops.cpp and csrc/cpu/. Two ways lead to them:

- `torch.ops.ffdwv_fast.ffdwv_loss`, with fake and autograd registered, is what torch.compile and
  torch.export record. Its backward computes the gradient anew with grad_out folded in.
- `FusedLoss`, a torch.autograd.Function, is what eager code takes: on the CPU the forward pass
  writes the gradient for grad_out = 1 along with the loss, and backward hands it over if it is 1.

On a CPU the kernels are those of the widest instruction set that it has. The environment variable
FFDWV_CPU_ISA, read at the first call, names another: baseline, avx2 or avx512. The last two give
the same bits; baseline, which has no fused multiply-add, differs in the last places.
"""

import warnings

import torch
from torch import Tensor

from ffdwv_fast.loss.arguments import REDUCTIONS, loss_dtype
from ffdwv_fast.native import BUILD_COMMAND, load_library

_NAME = "ffdwv_fast::ffdwv_loss"


def _load() -> str | None:
    reason = load_library()
    if reason is None:
        _register()
    return reason


def _register() -> None:
    torch.library.register_fake(_NAME, _fake)
    torch.library.register_autograd(_NAME, _backward, setup_context=_setup_context)


def _fake(
    logits,
    labels,
    soft,
    neg_entropy,
    grad_out,
    soft_kind,
    temperature,
    ce_weight,
    soft_weight,
    grad_scale,
    reduction,
    ignore_index,
    compute_grad,
):
    if any(t is not None and t.device != logits.device for t in (labels, soft)):
        raise ValueError("ffdwv_loss: labels and soft must be on the device of the logits")
    rows = (logits.shape[0],) if reduction == REDUCTIONS["none"] else ()
    return (
        logits.new_empty(rows, dtype=loss_dtype(logits)),
        logits.new_empty((3, *rows), dtype=torch.float64),
        logits.new_empty(tuple(logits.shape) if compute_grad else (0,)),
    )


def _setup_context(ctx, inputs, output):
    logits, labels, soft, neg_entropy, _grad_out, *options, _compute_grad = inputs
    ctx.save_for_backward(logits, labels, soft, neg_entropy)
    ctx.options = options
    ctx.mark_non_differentiable(*output[1:])


def _backward(ctx, grad_loss, _grad_parts, _grad_grad):
    grad = _gradient(ctx.saved_tensors, grad_loss, ctx.options, torch.ops.ffdwv_fast.ffdwv_loss)
    return grad, *(None,) * 12


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
    """The op in eager mode; apply() returns the loss and differentiates it once.

    What carries no gradient comes in two tuples, the tensors after the logits and the numbers, and
    goes in a list: as a second output the parts would cost an eighth of a small call.
    """

    @staticmethod
    def forward(ctx, logits, tensors, options, keys, parts):
        # Elsewhere than on a CPU whether grad_out is 1 cannot be asked without waiting, so a
        # gradient written now would have to be scaled or computed again in any case.
        on_cpu = logits.is_cpu
        loss, made, grad = _call(keys, logits, tensors, options, on_cpu)
        parts.append(made)
        ctx.save_for_backward(logits, *tensors, grad)
        ctx.options = options
        ctx.may_hand_over = on_cpu and not loss.shape
        return loss

    @staticmethod
    def backward(ctx, grad_loss):
        *inputs, grad = ctx.saved_tensors
        if not ctx.may_hand_over or torch.is_grad_enabled() or grad_loss.item() != 1.0:
            # Computed anew rather than scaled: a float16 gradient may have underflowed, and the
            # saved one must stay as it is for another backward over a retained graph.
            grad = _gradient(inputs, grad_loss, ctx.options, call_below_autograd)
        return grad, None, None, None, None


def differentiable(logits: Tensor, tensors: tuple, options: tuple) -> tuple[Tensor, Tensor]:
    """The loss, with a gradient, and its parts.

    Args:
        logits: [N, C].
        tensors: labels, soft and neg_entropy.
        options: from soft_kind to ignore_index.
    """
    keys = _plain_keys(logits, tensors)
    # What Function.apply does before the method it wraps concerns function transforms alone.
    apply = FusedLoss.apply if keys is None else _apply
    parts = []
    return apply(logits, tensors, options, keys, parts), parts[0]


def call(
    logits: Tensor, tensors: tuple, options: tuple, compute_grad: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """The op without autograd; the arguments as in `differentiable`."""
    return _call(_plain_keys(logits, tensors), logits, tensors, options, compute_grad)


def call_below_autograd(*args) -> tuple[Tensor, Tensor, Tensor]:
    """The op, by its schema, without its autograd half, which costs more than a small kernel."""
    with _BelowAutograd():
        return _op(*args)


def _call(keys, logits, tensors, options, compute_grad) -> tuple[Tensor, Tensor, Tensor]:
    if keys is None:
        return call_below_autograd(logits, *tensors, None, *options, compute_grad)
    return _redispatch(keys, logits, *tensors, None, *options, compute_grad)


def _plain_keys(logits: Tensor, tensors: tuple) -> object | None:
    """Where the dispatcher would end up if nothing stands between it and the kernel.

    That is so for tensors that are no subclass, not lazily negated and no ZeroTensor (which has no
    memory), while there is no mode, function transform or profiler. Going there at once saves a
    third of what a call costs; None if the dispatcher is to find the way.
    """
    labels, soft, _ = tensors
    for t in (logits, labels) if soft is None else (logits, labels, soft):
        if type(t) not in _PLAIN or t.is_neg() or t._is_zerotensor():
            return None
    if _modes() or _transforms() or _function_modes() or _profiling():
        return None
    return _KEYS.get("cpu") if logits.is_cpu else _KEYS.get(logits.device.type)


_BelowAutograd = torch._C._AutoDispatchBelowAutograd

WHY_NOT_NATIVE = _load()
_op = None if WHY_NOT_NATIVE else torch.ops.ffdwv_fast.ffdwv_loss.default
_apply = super(torch.autograd.Function, FusedLoss).apply
_redispatch = None if _op is None else _op._handle.redispatch_boxed
_PLAIN = frozenset({Tensor, torch.nn.Parameter})
_modes = torch._C._len_torch_dispatch_stack
_transforms = torch._C._are_functorch_transforms_active
_function_modes = torch._C._is_torch_function_mode_enabled
_profiling = torch.autograd._profiler_enabled
NATIVE_DEVICES = frozenset(
    device
    for device, key in (("cpu", "CPU"), ("cuda", "CUDA"), ("meta", "Meta"))
    if WHY_NOT_NATIVE is None and torch._C._dispatch_has_kernel_for_dispatch_key(_NAME, key)
)
_KEYS = {
    device: torch._C.DispatchKeySet(key)
    for device, key in (("cpu", torch._C.DispatchKey.CPU), ("cuda", torch._C.DispatchKey.CUDA))
    if device in NATIVE_DEVICES
}
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
