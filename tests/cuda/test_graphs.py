"""Captured in a CUDA graph and replayed with other inputs, the op gives what an eager call gives.

Forward and backward are captured through autograd, from buffers that each replay finds changed.
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ffdwv_fast import loss_and_grad
from ffdwv_fast.loss.functional import LossParts
from tests.cuda.device import KINDS_OF_SOFT, loss_and_gradient, soft_of_kind
from tests.loss.cases import Case, assert_identical, assert_matches, make_case

pytestmark = pytest.mark.gpu_only("a CPU has no graphs")

BAD_LABEL = 2**40

# How the labels of a replay differ from random ones.
REPLAYS: dict[str, Callable[[Tensor], object]] = {
    "as at the capture": lambda labels: None,
    "some ignored": lambda labels: labels[::3].fill_(-100),
    "one out of range": lambda labels: labels[len(labels) // 2].fill_(BAD_LABEL),
    "none ignored again": lambda labels: None,
    "all ignored": lambda labels: labels.fill_(-100),
    "one counts": lambda labels: labels[1:].fill_(-100),
}


def capture(step: Callable, warm_up: Callable | None = None) -> tuple[torch.cuda.CUDAGraph, list]:
    """A graph of `step` and the tensors that a replay writes; first runs `warm_up`, or `step`."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(2):
            (warm_up or step)()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = step()
    return graph, outputs


def write(buffers: Case, case: Case) -> None:
    buffers.logits.copy_(case.logits)
    buffers.labels.copy_(case.labels)


def buffers_like(case: Case) -> Case:
    """Buffers for logits and labels; S is the case's own, so that its values are known."""
    return Case(torch.zeros_like(case.logits), torch.zeros_like(case.labels), case.similarity)


# Counted by every block up to 2048 rows, by a launch of their own beyond; one block and many.
@pytest.mark.parametrize("n", [5, 2048, 2049, 5000])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_replays_with_other_inputs_are_eager_calls(n, reduction, device):
    buffers = buffers_like(make_case(n, 10, device=device))
    loss_and_gradient(buffers)  # S is read before the capture, in which nothing can be
    graph, outputs = capture(lambda: loss_and_gradient(buffers, reduction=reduction))
    for seed, (name, change) in enumerate(REPLAYS.items()):
        case = make_case(n, 10, seed=seed, device=device)._replace(similarity=buffers.similarity)
        change(case.labels)
        write(buffers, case)
        for _ in range(3):  # each leaves the graph's memory fit for the next
            graph.replay()
        assert_identical(outputs, loss_and_gradient(case, reduction=reduction), name)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("c", [100, 300, 1000, 3000, 9000])
def test_replays_at_every_width(c, dtype, device):
    options = dict(similarity_layout="expanded", device=device)
    buffers = buffers_like(make_case(65, c, dtype, **options))
    loss_and_gradient(buffers)
    graph, outputs = capture(lambda: loss_and_gradient(buffers))
    for seed in range(2):
        case = make_case(65, c, dtype, seed=seed, **options)
        write(buffers, case)
        graph.replay()
        assert_identical(outputs, loss_and_gradient(case), f"seed {seed}")


@pytest.mark.parametrize("kind", KINDS_OF_SOFT)
@pytest.mark.parametrize(("n", "c"), [(65, 10), (5000, 10), (65, 1000), (65, 9000)])
def test_loss_and_grad_replays_with_another_loss_scale(n, c, kind, device):
    if kind == "similarity" and c > 1000:
        pytest.skip("a dense matrix of that size: test_replays_at_every_width has one expanded")
    case, soft = make_case(n, c, device=device), soft_of_kind(kind, n, c, device)
    scale = torch.ones((), device=device)

    def step():
        parts, grad = loss_and_grad(case.logits, case.labels, loss_scale=scale, **soft)
        return [*parts, grad]

    graph, outputs = capture(step)
    for seed in range(2):
        write(case, make_case(n, c, seed=seed, device=device))
        scale.fill_(256.0 * (seed + 1))
        graph.replay()
        assert_identical(outputs, step(), f"seed {seed}")


def test_a_matrix_first_met_in_a_capture_is_summed_by_the_kernel(device):
    case = make_case(65, 10, device=device)
    buffers = buffers_like(case)
    unmet = buffers._replace(similarity=case.similarity.clone())
    graph, outputs = capture(
        lambda: loss_and_gradient(unmet), warm_up=lambda: loss_and_gradient(buffers)
    )
    write(unmet, case)
    graph.replay()
    *parts, grad = outputs
    assert_matches(case, LossParts(*parts), grad)


def test_branches_of_one_graph_share_nothing(device):
    pair = [buffers_like(make_case(5000, 10, seed=seed, device=device)) for seed in (0, 1)]
    for buffers in pair:
        loss_and_gradient(buffers)
    side = torch.cuda.Stream()

    def step():
        main = torch.cuda.current_stream()
        side.wait_stream(main)
        with torch.cuda.stream(side):
            one = loss_and_gradient(pair[0])
        other = loss_and_gradient(pair[1])
        main.wait_stream(side)
        return [*one, *other]

    graph, outputs = capture(step)
    for seed in (2, 4):
        cases = []
        for k, buffers in enumerate(pair):
            case = make_case(5000, 10, seed=seed + k, device=device)
            case.labels[:: k + 2] = -100
            write(buffers, case)
            cases.append(case._replace(similarity=buffers.similarity))
        graph.replay()
        wanted = [t for case in cases for t in loss_and_gradient(case)]
        assert_identical(outputs, wanted, f"seed {seed}")
