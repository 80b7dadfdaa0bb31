"""The other losses inside PyTorch's machinery: autograd, opcheck, torch.compile, memory."""

import subprocess
import sys

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ffdwv_fast import (
    distillation_loss,
    ffdwv_loss,
    label_smoothing_loss,
    loss_and_grad,
    soft_target_loss,
)
from ffdwv_fast.loss.arguments import SOFT_KINDS, uniform_matrix
from tests.loss.cases import Case, assert_identical, make_case, op_arguments
from tests.loss_variants.cases import (
    KINDS,
    WITH_TENSOR,
    assert_variant_matches,
    autograd_of,
    call,
    make_variant,
)


@pytest.mark.parametrize("kind", WITH_TENSOR)
@pytest.mark.parametrize("compute_grad", [False, True])
def test_opcheck(kind, compute_grad, device):
    v = make_variant(kind, 5, 11, device=device)
    arguments = op_arguments(
        Case(v.logits.requires_grad_(), v.labels, v.soft),
        soft_kind=SOFT_KINDS[kind],
        temperature=v.temperature,
        grad_scale=2.0,
        compute_grad=compute_grad,
    )
    results = torch.library.opcheck(torch.ops.ffdwv_fast.ffdwv_loss.default, arguments)
    assert set(results.values()) == {"SUCCESS"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_compile_in_one_graph(kind, backend, device):
    torch._dynamo.reset()
    v = make_variant(kind, 12, 10, device=device)
    logits = v.logits.requires_grad_()

    @torch.compile(fullgraph=True, backend=backend)
    def compiled(logits, soft):
        return call(v._replace(soft=soft), logits, return_parts=True)

    parts = compiled(logits, v.soft)
    (grad,) = torch.autograd.grad(parts.loss, logits)
    assert_variant_matches(v, parts, grad)


@pytest.mark.parametrize("scale", [1.0, 8.0, torch.tensor(8.0)], ids=["one", "float", "tensor"])
@pytest.mark.parametrize("soft", ["similarity", *WITH_TENSOR])
def test_compile_of_loss_and_grad(scale, soft, device):
    torch._dynamo.reset()
    case = make_case(12, 10, device=device)
    v = make_variant(WITH_TENSOR[1], 12, 10, device=device)
    given = {soft: case.similarity if soft == "similarity" else torch.softmax(v.soft, 1)}
    scale = scale.to(device) if isinstance(scale, torch.Tensor) else scale

    def step(logits, labels):
        parts, grad = loss_and_grad(logits, labels, loss_scale=scale, **given)
        return parts.loss, parts.ce, grad

    compiled = torch.compile(step, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(
        compiled(case.logits, case.labels), step(case.logits, case.labels), rtol=1e-6, atol=1e-7
    )


@pytest.mark.parametrize("kind", KINDS)
def test_double_backward_is_refused(kind, device):
    v = make_variant(kind, 4, 5, torch.float64, soft_dtype=torch.float64, device=device)
    logits = v.logits.requires_grad_()
    (grad,) = torch.autograd.grad(call(v, logits), logits, create_graph=True)
    with pytest.raises(RuntimeError, match="once"):
        grad.sum().backward()


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_a_teacher_that_requires_grad_gets_none(compiled, device):
    torch._dynamo.reset()
    v = make_variant("teacher_logits", 4, 10, device=device)
    logits, teacher = v.logits.requires_grad_(), v.soft.requires_grad_()
    loss = torch.compile(distillation_loss, backend="aot_eager") if compiled else distillation_loss
    loss(logits, v.labels, teacher).backward()
    assert teacher.grad is None
    assert logits.grad.any()


@pytest.mark.parametrize("kind", KINDS)
def test_an_upstream_gradient_is_folded_in(kind, device):
    v = make_variant(kind, 6, 37, torch.float16, device=device)
    _, grad = autograd_of(v)
    logits = v.logits.clone().requires_grad_()
    (scaled,) = torch.autograd.grad(call(v, logits) * 1024, logits)
    kept = grad.abs() >= torch.finfo(torch.float16).smallest_normal
    assert kept.any()
    assert torch.equal(scaled[kept] / 1024, grad[kept])


@pytest.mark.parametrize("kind", KINDS)
def test_a_retained_graph_gives_the_gradient_again(kind, device):
    v = make_variant(kind, 6, 37, device=device)
    logits = v.logits.requires_grad_()
    loss = call(v, logits)
    first, second = (torch.autograd.grad(loss, logits, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)


def test_what_watches_calls_is_shown_them(device):
    case = make_case(4, 10, device=device)
    with torch.profiler.profile() as profile:
        loss_and_grad(*case)
    assert "ffdwv_fast::ffdwv_loss" in {event.key for event in profile.key_averages()}

    seen = []

    class Seen(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            seen.append(str(function))
            return function(*args, **(kwargs or {}))

    with Seen():
        loss_and_grad(*case)
    assert "ffdwv_fast.ffdwv_loss.default" in seen


@pytest.mark.parametrize("which", ["logits", "labels", "similarity"])
def test_what_is_lazily_negated_counts_as_what_it_is(which, device):
    case = make_case(4, 10, device=device)
    lazy = torch._neg_view(-getattr(case, which))
    assert lazy.is_neg()
    assert ffdwv_loss(*case._replace(**{which: lazy})) == ffdwv_loss(*case)


@pytest.mark.parametrize("which", ["logits", "labels", "teacher"])
@pytest.mark.parametrize("requires_grad", [False, True])
def test_zero_tensors_count_as_the_zeros_they_are(which, requires_grad, device):
    # Forward-mode AD makes them: no memory lies behind them.
    v = make_variant("teacher_logits", 4, 10, device=device)
    arguments = {"logits": v.logits, "labels": v.labels, "teacher": v.soft}
    like = arguments[which]
    results = []
    for zeros in (
        torch._efficientzerotensor(like.shape, dtype=like.dtype, device=device),
        torch.zeros_like(like),
    ):
        logits, labels, teacher = (arguments | {which: zeros}).values()
        logits.requires_grad_(requires_grad)
        results.append(distillation_loss(logits, labels, teacher).detach())
        results.append(loss_and_grad(logits, labels, teacher_logits=teacher)[1])
    assert_identical(results[:2], results[2:])


MEMORY = """
import sys, torch
from ffdwv_fast import distillation_loss, ffdwv_loss, label_smoothing_loss, soft_target_loss
n, c, kind = 1024, 10000, sys.argv[1]
x, y, t = torch.ones(n, c, requires_grad=True), torch.zeros(n, dtype=torch.long), torch.ones(n, c)
def status(name):
    line = next(line for line in open("/proc/self/status") if line.startswith(name))
    return int(line.split()[1]) * 1024
def gradient(n):
    logits, labels = x[:n].detach().requires_grad_(), y[:n]
    if kind == "teacher": loss = distillation_loss(logits, labels, t[:n])
    elif kind == "targets": loss = soft_target_loss(logits, labels, t[:n])
    elif kind == "smoothing": loss = label_smoothing_loss(logits, labels)
    else: loss = ffdwv_loss(logits, labels, torch.full((1, 1), 1 / c).expand(c, c))
    return torch.autograd.grad(loss, logits)[0]
gradient(8)
open("/proc/self/clear_refs", "w").write("5")  # the peak begins anew
before = status("VmRSS")
grad = gradient(n)
print((status("VmHWM") - before) / grad.nbytes)
"""


@pytest.mark.cpu_only("the memory of the process")
@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")
@pytest.mark.parametrize("kind", ["teacher", "targets", "smoothing", "similarity"])
def test_no_memory_is_taken_but_the_gradient(kind):
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, kind], capture_output=True, text=True, check=True
    )
    assert 0.9 < float(done.stdout) < 1.1


def test_soft_targets_are_not_checked_in_a_graph(device):
    v = make_variant("soft_targets", 4, 10, device=device)
    compiled = torch.compile(soft_target_loss, fullgraph=True, backend="aot_eager")
    with pytest.raises(Exception, match="check_soft_targets reads values"):
        compiled(v.logits, v.labels, v.soft, check_soft_targets=True)


def test_smoothing_takes_no_more_than_one_number_for_its_matrix(device):
    matrix = uniform_matrix(torch.zeros(2, 200_000, device=device))
    assert matrix.untyped_storage().nbytes() == 4
    with torch.inference_mode():
        label_smoothing_loss(torch.zeros(2, 77, device=device), torch.tensor([0, 1], device=device))
    x = torch.zeros(2, 77, device=device, requires_grad=True)
    label_smoothing_loss(x, torch.tensor([0, 1], device=device)).backward()
    assert x.grad.any()
