"""python -m benchmarks.sanitizer_workload: every kernel with small shapes, for compute-sanitizer.

Checks the values too, against float64, and ends with a line of JSON: how many calls of each kind.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.hardware import ROOT, chosen_device
from ffdwv_fast import LossParts, ffdwv_loss, loss_and_grad
from ffdwv_fast.build import build_info
from ffdwv_fast.command import ArgumentParser, run_command
from ffdwv_fast.errors import InputError
from ffdwv_fast.loss.arguments import LOGITS_DTYPES
from tests.loss.cases import LAYOUTS, Case, assert_matches, make_case
from tests.loss_variants import cases as variants
from tests.loss_variants.cases import KINDS, WITH_TENSOR, Variant, make_variant

_TIERS = ROOT / "csrc" / "cuda" / "tiers.cuh"
_ROWS = 5
_MANY_ROWS = 2500  # more than what each block counts for itself
_WIDE = 1100  # from here on S is one row, expanded
_SCALE = 256.0  # of loss_and_grad


class Call(NamedTuple):
    """One call of a loss.

    Attributes:
        kind: what it is there for.
        inputs: its tensors, on the CPU.
        options: as the loss takes them.
        without_autograd: by loss_and_grad, with a loss scale.
    """

    kind: str
    inputs: Case | Variant
    options: dict[str, object]
    without_autograd: bool = False


def tier_edges() -> list[int]:
    """The widths at which another kernel takes over, from the table that decides it."""
    edges = sorted({int(c) for c in re.findall(r"classes <= (\d+)", _TIERS.read_text())})
    if not edges:
        raise InputError(f"{_TIERS.relative_to(ROOT)}: no line with 'classes <= N' is left in it")
    return edges


def calls(dtype: torch.dtype, tiny: bool) -> Iterator[Call]:
    """All calls for a dtype of the logits."""
    edges = [edge for edge in tier_edges() if not tiny or edge < 200]
    inside = [10, *(edge + 6 for edge in edges)]
    yield from _widths(dtype, sorted({1, 10, 100, *(e + d for e in edges for d in (-1, 0, 1))}))
    yield from _layouts(dtype, inside)
    yield from _reductions(dtype, inside)
    yield from _variants(dtype, inside)
    yield from _without_autograd(dtype, inside)
    for inputs in (make_case(_MANY_ROWS, 10, dtype), *_each_variant(_MANY_ROWS, 10, dtype)):
        yield Call("many rows", _some_ignored(inputs), {})


def run(device: torch.device, tiny: bool) -> Counter:
    """Make all calls.

    Returns:
        How many there were of each kind.

    Raises:
        AssertionError: a value is wrong.
    """
    made = Counter()
    for dtype in LOGITS_DTYPES:
        for call in calls(dtype, tiny):
            _make(call, device)
            made[call.kind] += 1
        if device.type == "cuda":  # elsewhere a bad label is an error
            _labels_out_of_range(dtype, device)
            made["labels out of range"] += 1
    return made


def _widths(dtype: torch.dtype, widths: list[int]) -> Iterator[Call]:
    for c in widths:
        for similarity in ("contiguous" if c < _WIDE else "expanded", "none"):
            case = make_case(_ROWS, c, dtype, similarity_layout=similarity)
            yield Call("widths", case, {})


def _layouts(dtype: torch.dtype, widths: list[int]) -> Iterator[Call]:
    for c in widths:
        similarity = "transposed" if c < _WIDE else "expanded"
        for layout in LAYOUTS:
            case = make_case(_ROWS, c, dtype, layout=layout, similarity_layout=similarity)
            yield Call("layouts", case, {})
        narrow = case._replace(similarity=case.similarity.to(dtype))
        yield Call("similarity of the logits' dtype", narrow, {})


def _reductions(dtype: torch.dtype, widths: list[int]) -> Iterator[Call]:
    for c in widths:
        similarity = "contiguous" if c < _WIDE else "expanded"
        case = _some_ignored(make_case(_ROWS, c, dtype, similarity_layout=similarity))
        for reduction in ("none", "sum", "mean"):
            weights = {"soft_weight": 0.7, "ce_weight": 1.3}
            yield Call("reductions", case, {"reduction": reduction, **weights})


def _variants(dtype: torch.dtype, widths: list[int]) -> Iterator[Call]:
    for c in widths:
        for v in _each_variant(_ROWS, c, dtype):
            yield Call(v.kind, v, {})
        for kind in WITH_TENSOR:
            for soft_dtype in {torch.float32, dtype}:
                for layout in ("transposed", "misaligned", "expanded"):
                    v = make_variant(kind, _ROWS, c, dtype, layout=layout, soft_dtype=soft_dtype)
                    yield Call(kind, _some_ignored(v), {"reduction": "none"})


def _each_variant(n: int, c: int, dtype: torch.dtype) -> list[Variant]:
    return [make_variant(kind, n, c, dtype) for kind in KINDS]


def _without_autograd(dtype: torch.dtype, widths: list[int]) -> Iterator[Call]:
    for c in widths:
        similarity = "contiguous" if c < _WIDE else "expanded"
        inputs = (
            make_case(_ROWS, c, dtype, similarity_layout=similarity),
            make_case(_ROWS, c, dtype, similarity_layout="none"),
            *(make_variant(kind, _ROWS, c, dtype) for kind in WITH_TENSOR),
        )
        for each in inputs:
            yield Call("loss_and_grad", _some_ignored(each), {}, without_autograd=True)


def _some_ignored(inputs: Case | Variant) -> Case | Variant:
    labels = inputs.labels.int()
    labels[1::3] = -100
    return inputs._replace(labels=labels)


def _make(call: Call, device: torch.device) -> None:
    inputs = type(call.inputs)(
        *(_moved(t, device) if isinstance(t, Tensor) else t for t in call.inputs)
    )
    compute = _by_loss_and_grad if call.without_autograd else _by_autograd
    parts, grad, grad_out = compute(inputs, call.options)
    what = f"{call.kind}, {tuple(inputs.logits.shape)} {inputs.logits.dtype} {call.options}"
    check = assert_matches if isinstance(inputs, Case) else variants.assert_variant_matches
    on_cpu = type(parts)(*(part.detach().cpu() for part in parts))
    # A GPU keeps a row's sums in float32.
    sums = torch.float64 if device.type == "cpu" else torch.float32
    check(call.inputs, on_cpu, grad.cpu(), what, grad_out=grad_out.cpu(), sums=sums, **call.options)


def _by_autograd(inputs: Case | Variant, options: dict) -> tuple[LossParts, Tensor, Tensor]:
    logits = inputs.logits.requires_grad_()
    if isinstance(inputs, Case):
        parts = ffdwv_loss(logits, *inputs[1:], return_parts=True, **options)
    else:
        parts = variants.call(inputs, logits, return_parts=True, **options)
    grad_out = torch.linspace(0.5, 1.5, max(1, parts.loss.numel())).reshape(parts.loss.shape)
    grad_out = grad_out.to(parts.loss.device, parts.loss.dtype)
    (grad,) = torch.autograd.grad(parts.loss, logits, grad_out)
    return parts, grad, grad_out


def _by_loss_and_grad(inputs: Case | Variant, options: dict) -> tuple[LossParts, Tensor, Tensor]:
    scale = torch.tensor(_SCALE, device=inputs.logits.device)
    if isinstance(inputs, Case):
        parts, grad = loss_and_grad(*inputs, loss_scale=scale, **options)
    else:
        parts, grad = variants.call_loss_and_grad(inputs, loss_scale=scale, **options)
    return parts, grad, scale


def _moved(t: Tensor, device: torch.device) -> Tensor:
    """The tensor with its strides and offset: its storage is moved, no kernel runs for it."""
    whole = t.untyped_storage().nbytes() // t.element_size()
    moved = t.as_strided((whole,), (1,), 0).to(device)
    return moved.as_strided(t.shape, t.stride(), t.storage_offset())


def _labels_out_of_range(dtype: torch.dtype, device: torch.device) -> None:
    case = make_case(_ROWS, 10, dtype)
    case.labels[1], case.labels[3] = 10, -7
    logits = case.logits.to(device).requires_grad_()
    similarity = case.similarity.to(device)
    loss = ffdwv_loss(logits, case.labels.to(device), similarity, reduction="none")
    loss.sum().backward()
    bad = torch.tensor([False, True, False, True, False])
    assert torch.equal(loss.detach().isnan().cpu(), bad), f"{dtype}: NaN rows of the loss"
    assert torch.equal(logits.grad.isnan().any(1).cpu(), bad), f"{dtype}: NaN rows of the gradient"


def parser() -> ArgumentParser:
    """The command's options."""
    p = ArgumentParser(prog="python -m benchmarks.sanitizer_workload", description=__doc__)
    p.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="where it runs")
    p.add_argument("--tiny", action="store_true", help="narrow rows only")
    return p


def main(argv: list[str] | None) -> None:
    """Run the command."""
    options = parser().parse_args(argv)
    device = chosen_device(options.device)
    info = build_info()
    if not info["native"] or (device.type == "cuda" and not info.get("cuda_architectures")):
        reason = info.get("reason", "the library was built without CUDA kernels")
        raise InputError(f"there are no kernels to run: {reason}")
    made = run(device, options.tiny)
    print(json.dumps({"calls": made.total(), "kinds": dict(made)}))


if __name__ == "__main__":
    run_command(main)
