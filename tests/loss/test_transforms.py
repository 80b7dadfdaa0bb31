"""The op inside PyTorch's machinery: autograd, opcheck, torch.compile, torch.export, autocast."""

import copy
import io

import pytest
import torch

from ffdwv_fast import FFDWVLoss, ffdwv_loss
from ffdwv_fast.loss.arguments import REDUCTIONS
from tests.loss.cases import (
    GRAD_TOLERANCE,
    Case,
    assert_loss_matches,
    assert_near,
    loss_tolerance,
    make_case,
    op_arguments,
)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_gradcheck_in_float64_with_a_random_grad_out(reduction, device):
    case = make_case(6, 7, torch.float64, device=device)
    generator = torch.Generator().manual_seed(0)
    shape = (6,) if reduction == "none" else ()
    weight = torch.randn(shape, dtype=torch.float64, generator=generator).to(device)
    labels = case.labels.clone()
    labels[2] = -100

    def weighted(logits):
        loss = ffdwv_loss(logits, labels, case.similarity, 0.7, ce_weight=1.3, reduction=reduction)
        return (loss * weight).sum()

    # Central differences of 1e-6 leave 1e-10 of the loss itself.
    assert torch.autograd.gradcheck(weighted, case.logits.requires_grad_(), atol=1e-7, rtol=1e-6)


@pytest.mark.parametrize("compute_grad", [False, True])
@pytest.mark.parametrize("reduction", REDUCTIONS.values(), ids=REDUCTIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_opcheck(dtype, reduction, compute_grad, device):
    case = make_case(5, 11, dtype, device=device)
    logits = case.logits.requires_grad_()
    for similarity, layout in ((case.similarity, "S"), (None, "no S")):
        args = op_arguments(
            Case(logits, case.labels, similarity),
            soft_weight=0.5,
            reduction=reduction,
            compute_grad=compute_grad,
        )
        results = torch.library.opcheck(torch.ops.ffdwv_fast.ffdwv_loss.default, args)
        assert set(results.values()) == {"SUCCESS"}, layout


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_compile_in_one_graph(backend, device):
    torch._dynamo.reset()
    compiled = torch.compile(ffdwv_loss, fullgraph=True, backend=backend)
    for dtype in (torch.float32, torch.bfloat16):
        assert_loss_matches(make_case(12, 10, dtype, device=device), compiled, what=f"{dtype}")


def test_compile_with_a_changing_batch_size(device):
    torch._dynamo.reset()
    compiled = torch.compile(ffdwv_loss, fullgraph=True, backend="aot_eager", dynamic=True)
    for n in (3, 8, 129):
        case = make_case(n, 10, device=device)
        assert_loss_matches(case, compiled, what=f"N = {n}", reduction="sum")


def test_compile_of_a_network_with_the_module(device):
    torch._dynamo.reset()
    case = make_case(16, 10, device=device)
    criterion = FFDWVLoss(case.similarity, soft_weight=0.5)
    layer = torch.nn.Linear(10, 10).to(device)
    eager = copy.deepcopy(layer)

    def step(x):
        return criterion(layer(x), case.labels)

    loss = torch.compile(step, fullgraph=True, backend="aot_eager")(case.logits)
    loss.backward()
    want = criterion(eager(case.logits), case.labels)
    want.backward()
    torch.testing.assert_close(loss, want, rtol=loss_tolerance(case), atol=1e-6)
    torch.testing.assert_close(layer.weight.grad, eager.weight.grad, rtol=1e-5, atol=1e-6)


def test_export_and_reload(device):
    case = make_case(16, 10, device=device)
    batch = torch.export.Dim("batch", min=2, max=1024)
    program = torch.export.export(
        FFDWVLoss(case.similarity),
        (case.logits, case.labels),
        dynamic_shapes=({0: batch}, {0: batch}),
    )
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    other = make_case(31, 10, seed=1, device=device)
    got = torch.export.load(file).module()(other.logits, other.labels)
    want = ffdwv_loss(other.logits, other.labels, case.similarity)
    torch.testing.assert_close(got, want, rtol=loss_tolerance(case), atol=1e-6)


def test_autocast_leaves_the_logits_as_they_are(device):
    case = make_case(16, 10, torch.bfloat16, device=device)
    logits = case.logits.requires_grad_()
    with torch.autocast(device, torch.bfloat16):
        loss = ffdwv_loss(logits, case.labels, case.similarity)
    loss.backward()
    assert loss.dtype == torch.float32
    assert logits.grad.dtype == torch.bfloat16
    assert_loss_matches(case._replace(logits=logits.detach()), ffdwv_loss)


def test_no_gradient_is_computed_where_none_is_wanted(device):
    case = make_case(4, 10, device=device)
    assert ffdwv_loss(case.logits, case.labels, case.similarity).grad_fn is None
    with torch.no_grad():
        assert (
            ffdwv_loss(case.logits.requires_grad_(), case.labels, case.similarity).grad_fn is None
        )
    with torch.inference_mode():
        assert ffdwv_loss(case.logits, case.labels, case.similarity.clone()).is_inference()


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "registered"])
def test_double_backward_is_refused(compiled, device):
    case = make_case(4, 5, torch.float64, device=device)
    logits = case.logits.requires_grad_()
    if compiled:
        loss, *_ = torch.ops.ffdwv_fast.ffdwv_loss(*op_arguments(case._replace(logits=logits)))
    else:
        loss = ffdwv_loss(logits, case.labels, case.similarity)
    (grad,) = torch.autograd.grad(loss * 2, logits, create_graph=True)
    with pytest.raises(RuntimeError, match=r"once"):
        grad.sum().backward()


def test_the_parts_carry_no_gradient(device):
    case = make_case(4, 5, device=device)
    parts = ffdwv_loss(
        case.logits.requires_grad_(), case.labels, case.similarity, return_parts=True
    )
    assert [part.requires_grad for part in parts] == [True, False, False, False]


def test_float16_gradient_survives_a_loss_scale(device):
    # At 1 / 4096 of a mean, p = 1e-4 underflows float16; scaled by 65536 it must not.
    n = 4096
    logits = torch.zeros(n, 2, dtype=torch.float16, device=device)
    logits[:, 0] = 9.0
    logits.requires_grad_()
    loss = ffdwv_loss(logits, torch.zeros(n, dtype=torch.int64, device=device), None)
    (loss * 65536).backward()
    p = torch.softmax(torch.tensor([9.0, 0.0], dtype=torch.float64), 0)[1].item()
    wanted = p / n * 65536
    assert wanted / 65536 < 2**-24
    wanted = torch.full((n,), wanted, dtype=torch.float64)
    assert_near(logits.grad[:, 1], wanted, GRAD_TOLERANCE[torch.float16], 0)


def test_module_moves_saves_and_loads_its_matrix(device):
    case = make_case(4, 10, device=device)
    module = FFDWVLoss(case.similarity, soft_weight=0.5, reduction="sum")
    other = FFDWVLoss(torch.eye(10), soft_weight=0.5, reduction="sum").to(device)
    before = other(case.logits, case.labels)
    other.load_state_dict(module.state_dict())
    want = ffdwv_loss(case.logits, case.labels, case.similarity, 0.5, reduction="sum")
    assert torch.equal(other(case.logits, case.labels), want)
    assert not torch.equal(before, want)
    assert list(module.state_dict()) == ["similarity"]
    assert copy.deepcopy(module)(case.logits, case.labels) == want
