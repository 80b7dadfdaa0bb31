"""The loop over epochs: what it waits for, and when it stops."""

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from ffdwv_fast import InputError
from ffdwv_fast.engine.progress import Progress
from ffdwv_fast.engine.step_graph import GraphStep
from ffdwv_fast.engine.stopwatch import Stopwatch
from ffdwv_fast.engine.trainer import Trainer
from tests.engine.resident import ResidentLoader, small_dataset
from tests.engine.steps import Training

BATCH = 8
STEPS = 3  # an epoch of 23 images
KINDS = pytest.mark.parametrize("kind", ["eager", "graph"])

# What makes the host wait where the tensor is on a GPU, as Python calls it and as C++ does.
WAITS_IN_PYTHON = frozenset(
    getattr(torch.Tensor, name)
    for name in (
        *("item", "tolist", "numpy", "cpu", "nonzero", "__bool__", "__float__", "__int__"),
        *("__index__", "__array__"),
    )
)
WAITS_IN_CPP = frozenset({"aten::_local_scalar_dense", "aten::nonzero", "aten::equal"})


class NothingIsReadInPython(TorchFunctionMode):
    """Refuses Python's ways of reading a tensor's values."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        assert function not in WAITS_IN_PYTHON, f"{function} waits for the device"
        return function(*args, **(kwargs or {}))


class NothingIsRead(TorchDispatchMode):
    """Refuses what would make the host wait for a GPU; works on a CPU."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        assert function.name().split(".")[0] not in WAITS_IN_CPP, f"{function} waits"
        return function(*args, **(kwargs or {}))


def make_trainer(kind="eager", epochs=2, lr=0.05, **options) -> Trainer:
    training, dataset = Training(kind, **options), small_dataset()
    settings = dict(batch_size=BATCH, device=torch.device("cpu"), seed=0)
    return Trainer(
        training.model,
        training.method,
        training.step,
        ResidentLoader(dataset.train, dataset, augment=True, **settings),
        ResidentLoader(dataset.test, dataset, augment=False, **settings),
        training.precision,
        epochs=epochs,
        lr=lr,
    )


class Silent:
    """Listens and says nothing."""

    def step(self, images, sums):
        pass


@KINDS
@pytest.mark.parametrize("amp", ["off", "bf16"])
def test_nothing_is_read_from_the_device_within_an_epoch(kind, amp):
    trainer = make_trainer(kind, amp=amp, loss_scale=4.0 if amp == "bf16" else None)
    progress = Progress(2, 23, live=False, with_kl=True, name="test")
    trainer.prepare()
    events = trainer.train(progress)
    assert next(events) is None  # the first step reads S, once
    with NothingIsReadInPython(), NothingIsRead():
        assert [next(events) for _ in range(STEPS - 1)] == [None] * (STEPS - 1)
    assert next(events).epoch == 1
    with NothingIsReadInPython(), NothingIsRead():
        assert [next(events) for _ in range(STEPS)] == [None] * STEPS
    assert next(events).epoch == 2
    assert next(events, "over") == "over"


@pytest.mark.parametrize(
    "read",
    [
        lambda sums: sums.read(),
        lambda sums: sums.values[0].item(),
        lambda sums: bool(sums.values[0] > 0),
        lambda sums: torch.equal(sums.values, sums.values),
        lambda sums: torch.optim.SGD([torch.ones(1)], lr=sums.values[0]),
    ],
    ids=["sums", "item", "bool", "equal", "in torch"],
)
def test_a_listener_that_reads_is_noticed(read):
    listener = Silent()
    events = make_trainer().train(listener)
    next(events)
    listener.step = lambda images, sums: read(sums)
    with (
        pytest.raises(AssertionError, match="waits"),
        NothingIsReadInPython(),
        NothingIsRead(),
    ):
        next(events)


@KINDS
def test_the_schedule_acts(kind):
    trainer = make_trainer(kind, epochs=4, lr=0.4)
    rates = [record.lr for record in trainer.train(Silent()) if record is not None]
    assert rates == pytest.approx([0.4, 0.4, 0.04, 0.004])
    assert trainer.step.body._rate.item() == pytest.approx(0.004)


@KINDS
def test_a_loss_that_is_not_finite_stops_the_run(kind):
    trainer = make_trainer(kind)
    with torch.no_grad():
        trainer.model.fc.bias[0] = torch.nan
    with pytest.raises(InputError, match=r"became nan by step 3 of epoch 1 at learning rate 0.05"):
        list(trainer.train(Silent()))


def test_nothing_is_recorded_within_an_epoch(monkeypatch):
    recorded = []
    original = GraphStep._record

    def record(self, batch):
        recorded.append(len(batch.labels))
        return original(self, batch)

    monkeypatch.setattr(GraphStep, "_record", record)
    trainer = make_trainer("graph")
    trainer.prepare()
    assert recorded == [8, 7]
    list(trainer.train(Silent()))
    assert recorded == [8, 7]


def test_time_is_accounted_for_by_subject():
    trainer = make_trainer("graph", epochs=1)
    trainer.prepare()
    list(trainer.train(Silent()))
    assert list(trainer.stopwatch.seconds) == ["preparation", "data", "step", "evaluation"]
    assert all(seconds > 0 for seconds in trainer.stopwatch.seconds.values())


def test_shares_of_the_time_add_up_to_all_of_it():
    watch = Stopwatch()
    watch.seconds.update(data=1.0, step=6.0)
    assert watch.shares(10.0) == pytest.approx({"data": 10.0, "step": 60.0, "other": 30.0})
