"""torch.compile and export as far as they depend on the device; tests/loss has the rest."""

from pathlib import Path

import pytest
import torch
import torch._inductor
from torch._dynamo.utils import counters

from ffdwv_fast import FFDWVLoss, ffdwv_loss
from tests.loss.cases import assert_loss_matches, assert_near, expected, loss_tolerance, make_case


@pytest.fixture(autouse=True)
def _fresh_compiler():
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


def test_reduce_overhead_replays_the_op_in_cuda_graphs(device):
    compiled = torch.compile(ffdwv_loss, fullgraph=True, mode="reduce-overhead")
    for seed in range(4):  # warm-up, capture, two replays
        torch.compiler.cudagraph_mark_step_begin()
        case = make_case(64, 10, seed=seed, device=device)
        assert_loss_matches(case, compiled, what=f"call {seed}")
    if device != "cpu":
        assert counters["inductor"]["cudagraph_skips"] == 0


def packaged(program, path: Path, device: str):
    """The program, compiled ahead of time; skips the test where no program at all can be."""
    try:
        package = torch._inductor.aoti_compile_and_package(program, package_path=str(path))
    except Exception as error:
        x = torch.ones(2, device=device)
        trivial = torch.export.export(torch.nn.ReLU(), (x,))
        try:
            torch._inductor.aoti_compile_and_package(trivial, package_path=f"{path}.trivial.pt2")
        except Exception:
            pytest.skip(f"AOTInductor does not get as far as the op here: {error}")
        raise
    return torch._inductor.aoti_load_package(package)


def test_ahead_of_time_compiled_package_gives_the_loss(device, tmp_path):
    case = make_case(16, 10, device=device)
    program = torch.export.export(FFDWVLoss(case.similarity), (case.logits, case.labels))
    loss = packaged(program, tmp_path / "loss.pt2", device)
    other = make_case(16, 10, seed=1, device=device)._replace(similarity=case.similarity)
    want = expected(other).loss
    assert_near(loss(other.logits, other.labels), want, loss_tolerance(other), 1e-6)
