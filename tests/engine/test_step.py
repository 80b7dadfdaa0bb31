"""Training steps: what they compute, however they are launched, and what a speed-up changes."""

import pytest
import torch
from torch.nn import functional as F

from ffdwv_fast import InputError, resnet8
from ffdwv_fast.data.loader import Batch
from ffdwv_fast.engine.precision import Precision
from ffdwv_fast.engine.speedups import SPEEDUPS, Speedups
from ffdwv_fast.engine.step import EagerStep
from ffdwv_fast.engine.step_body import StepBody
from ffdwv_fast.engine.step_graph import GraphStep, Recorder, graph_wanted
from ffdwv_fast.methods import METHODS
from tests.engine.steps import SIZES, Training, assert_close, differences, make_batches, make_method

CPU = torch.device("cpu")
KINDS = pytest.mark.parametrize("kind", ["eager", "graph"])
AMP = pytest.mark.parametrize("amp", ["off", "bf16"])


@KINDS
@pytest.mark.parametrize("method", ["ffdwv", "vanilla"])
def test_steps_are_nesterov_sgd_on_the_methods_loss(method, kind):
    torch.manual_seed(0)
    model = torch.nn.Linear(6, 10, bias=False).double()
    loss = make_method(method)
    training = Training(kind, method=method, model=model)

    weight, velocity = model.weight.detach().clone(), 0
    for rate in (0.1, 0.1, 0.01):
        batch = Batch(torch.randn(8, 6, dtype=torch.float64), torch.randint(0, 10, (8,)))
        training.step.begin_epoch(rate)
        training.step(batch)
        # d loss / d logits = (1 + b) p - e_y - b S_y by hand; Nesterov's update as torch has it.
        p = torch.softmax(batch.images @ weight.t(), dim=1)
        grad = p - F.one_hot(batch.labels, 10)
        if loss.needs_similarity:
            grad = grad + 0.7 * (p - loss.similarity[batch.labels].double())
        ce = F.cross_entropy(batch.images @ weight.t(), batch.labels)
        grad = grad.t() @ batch.images / 8 + 0.01 * weight
        velocity = 0.9 * velocity + grad
        weight = weight - rate * (grad + 0.9 * velocity)
        torch.testing.assert_close(model.weight.detach(), weight, rtol=1e-6, atol=1e-8)
        assert training.step.sums.read().ce == pytest.approx(ce.item(), rel=1e-6)


@AMP
@pytest.mark.parametrize("method", METHODS)
def test_recorded_steps_equal_eager_ones_bit_for_bit(amp, method):
    batches = make_batches()
    eager, recorded = (Training(kind, amp, method=method) for kind in ("eager", "graph"))
    for epoch in range(2):
        rates = [0.1 * (k + 1) / (epoch + 1) for k in range(len(SIZES))]
        eager.train(batches, rates)
        recorded.train(batches, rates)
        assert differences(eager.state(), recorded.state()) == []
        assert eager.step.sums.read() == recorded.step.sums.read()
    assert differences(eager.state(), Training("eager", amp, method=method).state()) != []


def test_metrics_are_those_of_the_batches_trained_on():
    training, batches = Training("graph"), make_batches()
    loss = correct = 0.0
    training.step.begin_epoch(0.05)
    for images, labels in batches:
        reference = make_method("ffdwv")
        logits = training.model(images).detach()
        loss += len(labels) * reference(logits, labels)[0].item()
        correct += (logits.argmax(1) == labels).sum().item()
        training.step(Batch(images, labels))
    metrics, images = training.step.sums.read(), sum(SIZES)
    assert metrics.loss == pytest.approx(loss / images, rel=1e-5)
    assert metrics.loss == pytest.approx(metrics.ce + 0.7 * metrics.kl, rel=1e-6)
    assert metrics.error == pytest.approx(100 * (1 - correct / images), abs=1e-9)


class CountingRecorder(Recorder):
    """Counts recordings."""

    def __init__(self):
        self.count = 0

    def record(self, call):
        self.count += 1
        return super().record(call)


def test_each_size_of_batch_is_recorded_once_and_before_the_first_epoch_if_asked_for():
    training, recorder, batches = Training(), CountingRecorder(), make_batches()
    step = GraphStep(training.body, recorder)
    step.prepare(batches[0])
    step.prepare(batches[-1])
    assert recorder.count == 2
    for batch in (*batches, *batches):
        step(batch)
    assert recorder.count == 2
    step(make_batches([3])[0])
    assert recorder.count == 3


@KINDS
@AMP
def test_preparing_a_step_leaves_no_trace(kind, amp):
    training, batches = Training(kind, amp, loss_scale=4.0), make_batches()
    training.train(batches, [0.1, 0.1])
    before, scale = training.state(), training.precision.scaler.state_dict()
    training.step.prepare(batches[-1])
    assert differences(before, training.state()) == []
    assert training.precision.scaler.state_dict() == scale


@KINDS
@pytest.mark.parametrize("speedups", [Speedups(), Speedups.without(["direct-gradient"])], ids=str)
def test_loss_scale_changes_nothing_but_a_step_that_overflows(kind, speedups):
    batches, rates = make_batches(), [0.1] * 6
    plain = Training(kind, "bf16", speedups)
    scaled = Training(kind, "bf16", speedups, loss_scale=2.0**127)  # inf in the first step
    start = scaled.state()
    scaled.train(make_batches([1]), rates[:1])
    after = scaled.state()
    changed = differences(start, after)
    assert changed
    assert all("running" in name or name == "sums" for name in changed)
    assert scaled.precision.scaler.get_scale() == 2.0**126

    scaled.precision.scaler.load_state_dict(
        {**scaled.precision.scaler.state_dict(), "scale": 2.0**10}
    )
    for name, value in scaled.model.state_dict().items():
        value.copy_(start[name])  # the statistics of batch normalisation
    plain.train(batches, rates)
    scaled.train(batches, rates)
    assert differences(plain.state(), scaled.state()) == []


def test_zero_momentum_gives_the_first_updates_of_none():
    training, batches = Training(), make_batches()
    twin = Training()
    optimizer = torch.optim.SGD(
        twin.model.parameters(), 0.1, momentum=0.9, nesterov=True, weight_decay=1e-2, fused=True
    )
    training.train(batches, [0.1] * 3)
    for images, labels in batches[:3]:
        twin.method(twin.model(images), labels)[0].backward()
        optimizer.step()
        optimizer.zero_grad()
    for (name, a), b in zip(
        training.model.named_parameters(), twin.model.parameters(), strict=True
    ):
        assert torch.equal(a, b), name
        momentum = training.body._optimizer.state[a]["momentum_buffer"]
        assert torch.equal(momentum, optimizer.state[b]["momentum_buffer"]), name


# The other optimizer and memory format add in another order.
ROUNDING = {"fused-optimizer", "channels-last"}


@AMP
@pytest.mark.parametrize("name", SPEEDUPS)
def test_a_speedup_changes_nothing_but_speed(name, amp):
    batches = make_batches()
    fast, plain = Training("eager", amp), Training("eager", amp, Speedups.without([name]))
    steps = 1 if name in ROUNDING else 20  # from equal state: rounding grows from step to step
    fast.train(batches, [0.05] * steps)
    plain.train(batches, [0.05] * steps)
    a, b = fast.state(), plain.state()
    if name in ROUNDING:
        assert_close(a, b, 2e-2 if amp == "bf16" else 1e-5)
        return
    counters = {key for key in a if key.endswith("num_batches_tracked")}
    wanted = counters if name == "skip-counters" else set()
    assert set(differences(a, b)) == wanted
    assert all(a[key] == 0 for key in counters)
    assert {int(b[key]) for key in counters} == ({steps} if wanted else {0})


@AMP
def test_a_compiled_network_takes_the_same_step(amp):
    def network() -> torch.nn.Module:
        torch.manual_seed(0)
        conv = torch.nn.Conv2d(1, 4, 3).to(memory_format=torch.channels_last)
        return torch.nn.Sequential(
            conv, torch.nn.BatchNorm2d(4), torch.nn.Flatten(), torch.nn.Linear(144, 10)
        )

    batches = make_batches([16, 7])
    compiled = Training("graph", amp, compiled=True, model=network())
    plain = Training("graph", amp, model=network())
    for batch in batches:
        compiled.train([batch], [0.05])
        plain.train([batch], [0.05])
    tolerance = 1e-2 if amp == "bf16" else 1e-5  # other roundings in bfloat16
    assert_close(compiled.state(), plain.state(), tolerance)


def test_a_method_without_a_gradient_of_its_own_goes_through_autograd():
    method = make_method("ffdwv")
    method.gives_gradient = False
    method.gradient = None
    batches, reference, training = make_batches(), Training(), Training()
    body = StepBody(training.model, method, Precision("off", CPU), 1e-2, Speedups())
    step = EagerStep(body)
    step.begin_epoch(0.1)
    reference.train(batches, [0.1] * 3)
    for batch in batches[:3]:
        step(batch)
    training.body = body
    training.step = step
    assert differences(training.state(), reference.state()) == []


def test_a_step_trains_whatever_mode_the_network_is_in_when_copies_are_made():
    model = resnet8(10, in_channels=1).eval()
    training = Training("eager", "bf16", model=model)
    before = model.bn1.running_mean.clone()
    training.train(make_batches()[:1], [0.1])
    assert not torch.equal(model.bn1.running_mean, before)
    assert not model.training  # which is the caller's


def test_speedup_that_does_not_exist_is_refused():
    with pytest.raises(InputError, match=r"--without turbo: .*use channels-last, skip-counters"):
        Speedups.without(["turbo"])


@pytest.mark.parametrize(
    ("asked", "device", "fused", "wanted"),
    [
        ("auto", "cpu", True, False),
        ("off", "cpu", True, False),
        ("off", "cuda", True, False),
        ("on", "cuda:1", True, True),
        ("auto", "cuda", True, True),
        ("auto", "cuda", False, False),
        ("on", "cpu", True, "there are none on device cpu; use auto or off"),
        ("on", "cuda", False, "leave one of them out"),
    ],
)
def test_a_graph_is_made_where_there_can_be_one(asked, device, fused, wanted):
    if isinstance(wanted, bool):
        assert graph_wanted(asked, torch.device(device), fused) is wanted
        return
    with pytest.raises(InputError, match=wanted):
        graph_wanted(asked, torch.device(device), fused)
