"""The soft weight over a run."""

import pytest

from ffdwv_fast.engine.schedule import SOFT_WEIGHT_SCHEDULES, soft_weights
from tests.engine.test_trainer import Silent, make_trainer


@pytest.mark.parametrize(
    ("schedule", "weights"),
    [
        ("constant", [0.8] * 5),
        ("linear", [0.8, 0.6, 0.4, 0.2, 0.0]),
        ("cosine", [0.8, 0.4 * (1 + 0.5**0.5), 0.4, 0.4 * (1 - 0.5**0.5), 0.0]),
    ],
)
def test_values(schedule, weights):
    assert soft_weights(0.8, schedule, 5) == pytest.approx(weights, abs=1e-12)


@pytest.mark.parametrize("schedule", SOFT_WEIGHT_SCHEDULES)
def test_a_single_epoch_has_the_weight_given(schedule):
    assert soft_weights(0.8, schedule, 1) == [0.8]


def test_each_epoch_is_trained_with_its_weight():
    trainer = make_trainer(epochs=3)
    trainer.soft_weights = [0.8, 0.4, 0.0]
    records = [record for record in trainer.train(Silent()) if record is not None]
    weights = [(r.train_loss - r.train_ce) / r.train_kl for r in records]
    assert weights == pytest.approx([0.8, 0.4, 0.0], abs=1e-6)
