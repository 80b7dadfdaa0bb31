"""Every method's step as a CUDA graph, the second networks of some within it."""

import pytest

from ffdwv_fast.methods import METHODS
from tests.cuda.test_graph_step import deterministic_algorithms
from tests.engine.steps import Training, differences, make_batches

RATES = [0.05] * 5


@pytest.mark.parametrize("amp", ["off", "bf16"])
@pytest.mark.parametrize("method", METHODS)
def test_graphed_steps_equal_eager_ones_bit_for_bit(method, amp, device, monkeypatch):
    batches = make_batches(device=device)
    with deterministic_algorithms(monkeypatch):
        eager, graphed = (
            Training(kind, amp, method=method, device=device) for kind in ("eager", "graph")
        )
        eager.train(batches, RATES)
        graphed.train(batches, RATES)
        assert differences(eager.state(), graphed.state()) == []
    assert eager.step.sums.read() == graphed.step.sums.read()
