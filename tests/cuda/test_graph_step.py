"""A training step that is one CUDA graph does what the eager step does.

With `--device cpu` the graph is its twin, which calls what it has recorded.
"""

import threading
from contextlib import contextmanager, nullcontext

import pytest
import torch

from ffdwv_fast.engine.speedups import Speedups
from ffdwv_fast.engine.step_graph import CudaGraphRecorder
from ffdwv_fast.engine.trainer import Trainer
from tests.cuda.device import synchronize, waiting_is_an_error
from tests.engine.resident import ResidentLoader, small_dataset
from tests.engine.steps import SIZES, Training, assert_close, differences, make_batches

STEPS = 50
RATES = [0.1 / (1 + k // 7) for k in range(STEPS)]  # a schedule within the epoch, to see it act

# Rounding of one step from equal state: other algorithms may add in another order.
TOLERANCE = {"off": 1e-4, "bf16": 3e-2, "fp16": 1e-2}


def precisions(device: str) -> list[str]:
    return ["off", "bf16"] if device == "cpu" else list(TOLERANCE)


@pytest.fixture(params=list(TOLERANCE))
def amp(request, device):
    if request.param not in precisions(device):
        pytest.skip("gpu_only: there is no float16 training on a CPU")
    return request.param


@contextmanager
def deterministic_algorithms(monkeypatch):
    """As torch asks for: https://docs.pytorch.org/docs/stable/notes/randomness.html"""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    benchmark = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)
        torch.backends.cudnn.benchmark = benchmark


def test_graphed_steps_equal_eager_ones_bit_for_bit(amp, device, monkeypatch):
    batches = make_batches(device=device)
    with deterministic_algorithms(monkeypatch):
        eager, graphed = (Training(kind, amp, device=device) for kind in ("eager", "graph"))
        eager.train(batches, RATES)
        graphed.train(batches, RATES)
        assert differences(eager.state(), graphed.state()) == []
    assert eager.step.sums.read() == graphed.step.sums.read()
    scales = [t.precision.scaler.get_scale() for t in (eager, graphed)]
    assert scales[0] == scales[1]


def test_each_graphed_step_equals_an_eager_one_from_the_same_state(amp, device):
    batches = make_batches(device=device)
    eager, graphed = (Training(kind, amp, device=device) for kind in ("eager", "graph"))
    for k, rate in enumerate(RATES):
        eager.body.load(graphed.body.tensors())  # the eager step goes on from where the graph is
        for training in (eager, graphed):
            training.train([batches[k % len(batches)]], [rate])
        assert_close(eager.state(), graphed.state(), TOLERANCE[amp])


@pytest.mark.parametrize("off", [(), ("direct-gradient",), ("weight-copies",)], ids=str)
def test_first_step_that_overflows_leaves_weights_and_momentum_alone(off, device):
    amp = precisions(device)[-1]
    training = Training(
        "graph", amp, Speedups.without(off), loss_scale=2.0**127, device=device
    )  # infinite gradients
    batches = make_batches(device=device)
    start = training.state()
    training.train(make_batches([1], device), [0.1])
    changed = differences(start, training.state())
    assert all("running" in name or name == "sums" for name in changed)
    assert training.precision.scaler.get_scale() == 2.0**126

    # In place: a graph reads the same tensor. From here on nothing overflows.
    training.precision.scaler.load_state_dict(
        {**training.precision.scaler.state_dict(), "scale": 2.0**8}
    )
    training.train(batches, [0.1] * len(SIZES))
    changed = set(differences(start, training.state()))
    assert {name for name, _ in training.model.named_parameters()} <= changed
    assert all(bool(value.isfinite().all()) for value in training.state().values())


def test_the_learning_rate_acts_in_the_graph(device):
    batches = make_batches(device=device)
    still, moving = (Training("graph", device=device) for _ in range(2))
    for training in (still, moving):
        training.train(batches, [0.1] * len(SIZES))
    before = still.model.fc.weight.detach().clone()
    still.train(batches, [0.0] * len(SIZES))
    moving.train(batches, [0.1] * len(SIZES))
    assert torch.equal(still.model.fc.weight, before)
    assert not torch.equal(moving.model.fc.weight, before)


def test_preparing_leaves_no_trace(amp, device):
    training, batches = Training("graph", amp, device=device), make_batches(device=device)
    training.train(batches[:2], [0.1, 0.1])
    before, scale = training.state(), training.precision.scaler.state_dict()
    training.step.prepare(batches[-1])
    assert differences(before, training.state()) == []
    assert training.precision.scaler.state_dict() == scale


@pytest.mark.parametrize("kind", ["eager", "graph"])
def test_the_host_does_not_wait_within_an_epoch(kind, amp, device):
    training, dataset = Training(kind, amp, device=device), small_dataset()
    settings = dict(batch_size=8, device=torch.device(device), seed=0)
    trainer = Trainer(
        training.model,
        training.method,
        training.step,
        ResidentLoader(dataset.train, dataset, augment=True, **settings),
        ResidentLoader(dataset.test, dataset, augment=False, **settings),
        training.precision,
        epochs=2,
        lr=0.05,
    )
    trainer.prepare()
    events = trainer.train(_Silent())
    next(events)  # S is read once, in the first step or before it
    refused = waiting_is_an_error if device == "cuda" else nullcontext
    with refused():
        assert [next(events), next(events)] == [None, None]
    assert next(events).epoch == 1
    with refused():
        assert [next(events) for _ in range(3)] == [None] * 3
    assert next(events).epoch == 2


@pytest.mark.parametrize("kind", ["eager", "graph"])
def test_a_compiled_network_takes_the_same_steps(kind, device):
    if device == "cpu":
        pytest.skip("gpu_only: tests/engine/test_step.py has it for a CPU")
    batches = make_batches(device=device)
    plain = Training("eager", "bf16", device=device)
    compiled = Training(kind, "bf16", compiled=True, device=device)
    for batch in (batches[0], batches[-1]):
        plain.body.load(compiled.body.tensors())
        for training in (plain, compiled):
            training.train([batch], [0.05])
        assert_close(plain.state(), compiled.state(), TOLERANCE["bf16"])


@pytest.mark.gpu_only("a CPU has no graphs")
def test_graphs_of_two_steps_may_run_at_the_same_time(device, monkeypatch):
    batches = make_batches(device=device)
    with deterministic_algorithms(monkeypatch):
        alone = Training("graph", "bf16", device=device)
        alone.train(batches, RATES)
        together = [Training("graph", "bf16", device=device) for _ in range(3)]
        streams = [torch.cuda.Stream() for _ in together]
        for training in together:
            for batch in (batches[0], batches[-1]):
                training.step.prepare(batch)
            training.step.begin_epoch(RATES[0])
        synchronize(device)
        for k, rate in enumerate(RATES):
            for training, stream in zip(together, streams, strict=True):
                with torch.cuda.stream(stream):
                    training.body.set_learning_rate(rate)
                    training.step(batches[k % len(batches)])
        synchronize(device)
        for training in together:
            assert differences(alone.state(), training.state()) == []


@pytest.mark.gpu_only("a CPU has no graphs")
def test_another_threads_cuda_calls_do_not_break_a_capture(device):
    stop, failed = threading.Event(), []

    def allocate():
        stream, size = torch.cuda.Stream(), 1
        try:
            while not stop.is_set():
                size = size % 64 + 1
                with torch.cuda.stream(stream):
                    torch.empty(size << 20, device=device).zero_()
                stream.synchronize()
        except RuntimeError as error:  # it is the capture that must survive, and this too
            failed.append(error)

    thread = threading.Thread(target=allocate)
    thread.start()
    try:
        graphed = Training("graph", device=device)
        graphed.train(make_batches(device=device), [0.1] * len(SIZES))
    finally:
        stop.set()
        thread.join()
    assert not failed
    assert isinstance(graphed.step._recorder, CudaGraphRecorder)


class _Silent:
    """Listens and says nothing."""

    def step(self, images, sums):
        pass
