"""The plan of an epoch: known answers, independence of everything but its key, distributions."""

import numpy as np
import pytest
from scipy import stats

from ffdwv_fast.data.augmentation import image_draws, plain_plan, random_plan
from ffdwv_fast.errors import InputError

N = 50_000


def cifar_plan(seed=0, epoch=0, n=N):
    return random_plan(seed, epoch, n, padding=4, flip=True)


def test_the_generator_gives_these_words_for_ever():
    # Printed once by numpy 2.4; other words would change the images of every saved run.
    assert image_draws(7, 11, 2).tolist() == [
        [5785492562497320450, 2930549047625223640, 14544010770696083361, 2546077210260044430],
        [3241704059566859967, 14795733611443835104, 13119115505686478126, 13525938981208664028],
    ]


@pytest.mark.parametrize(("seed", "epoch"), [(0, 0), (7, 11), (2**63 - 1, 2**63 - 1)])
def test_plan_is_the_one_worked_out_image_by_image(seed, epoch):
    n, padding = 50, 4
    keys, offsets_y, offsets_x, flips = [], [], [], []
    for image in range(n):
        key = np.array([seed, epoch], dtype=np.uint64)
        words = [int(word) for word in np.random.Philox(key=key, counter=image).random_raw(4)]
        keys.append(words[0])
        offsets_y.append((words[1] >> 32) * (2 * padding + 1) >> 32)
        offsets_x.append((words[2] >> 32) * (2 * padding + 1) >> 32)
        flips.append(words[3] >> 63 == 1)
    plan = random_plan(seed, epoch, n, padding=padding, flip=True)
    assert plan.order.tolist() == sorted(range(n), key=lambda image: keys[image])
    assert plan.offset_y.tolist() == offsets_y
    assert plan.offset_x.tolist() == offsets_x
    assert plan.flip.tolist() == flips


def test_what_is_drawn_for_an_image_does_not_depend_on_how_many_there_are():
    long, short = cifar_plan(n=1000), cifar_plan(n=300)
    np.testing.assert_array_equal(short.offset_y, long.offset_y[:300])
    np.testing.assert_array_equal(short.offset_x, long.offset_x[:300])
    np.testing.assert_array_equal(short.flip, long.flip[:300])
    np.testing.assert_array_equal(short.order, long.order[long.order < 300])


def test_the_same_key_gives_the_same_plan():
    np.testing.assert_array_equal(cifar_plan(3, 4).order, cifar_plan(3, 4).order)


@pytest.mark.parametrize("other", [(1, 0), (0, 1), (1, 1)])
def test_another_seed_or_epoch_gives_an_unrelated_plan(other):
    a, b = cifar_plan(0, 0), cifar_plan(*other)
    assert abs(np.corrcoef(a.order, b.order)[0, 1]) < 0.02
    assert np.mean(a.offset_y == b.offset_y) == pytest.approx(1 / 9, abs=0.01)
    assert np.mean(a.flip == b.flip) == pytest.approx(1 / 2, abs=0.01)


def test_seed_and_epoch_are_not_interchangeable():
    assert not np.array_equal(cifar_plan(2, 5).order, cifar_plan(5, 2).order)


def test_order_has_every_image_once():
    np.testing.assert_array_equal(np.sort(cifar_plan().order), np.arange(N))


def test_position_in_the_order_is_unrelated_to_the_index():
    position = np.argsort(cifar_plan().order)
    table, _, _ = np.histogram2d(np.arange(N), position, bins=10)
    assert stats.chi2_contingency(table).pvalue > 0.001


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("epoch", [0, 299])
def test_every_one_of_the_81_offsets_is_equally_likely(seed, epoch):
    plan = cifar_plan(seed, epoch)
    counts = np.bincount(9 * plan.offset_y + plan.offset_x, minlength=81)
    assert len(counts) == 81
    assert stats.chisquare(counts).pvalue > 0.001


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("epoch", [0, 299])
def test_half_of_the_images_are_flipped(seed, epoch):
    counts = np.bincount(cifar_plan(seed, epoch).flip, minlength=2)
    assert stats.chisquare(counts).pvalue > 0.001


@pytest.mark.parametrize("draw", ["offset_y", "offset_x", "flip"])
def test_draws_are_independent_of_the_image_index(draw):
    values = getattr(cifar_plan(), draw).astype(int)
    for groups in (np.arange(N) * 10 // N, np.arange(N) % 7):
        assert (
            stats.chi2_contingency(stats.contingency.crosstab(groups, values).count).pvalue > 1e-3
        )


def test_flip_is_independent_of_the_offset():
    plan = cifar_plan()
    table = stats.contingency.crosstab(9 * plan.offset_y + plan.offset_x, plan.flip).count
    assert stats.chi2_contingency(table).pvalue > 0.001


def test_offsets_are_independent_of_the_place_in_the_order():
    plan = cifar_plan()
    groups = np.arange(N) * 10 // N
    table = stats.contingency.crosstab(groups, plan.offset_y[plan.order]).count
    assert stats.chi2_contingency(table).pvalue > 0.001


def test_without_flip_nothing_is_flipped_and_the_rest_stays():
    flipped, never = cifar_plan(), random_plan(0, 0, N, padding=4, flip=False)
    assert not never.flip.any()
    np.testing.assert_array_equal(never.offset_x, flipped.offset_x)
    np.testing.assert_array_equal(never.order, flipped.order)


def test_without_padding_every_offset_is_zero():
    plan = random_plan(0, 0, 100, padding=0, flip=True)
    assert not plan.offset_y.any()
    assert not plan.offset_x.any()


def test_without_shuffling_the_crops_stay():
    plan = random_plan(0, 0, N, padding=4, flip=True, shuffle=False)
    np.testing.assert_array_equal(plan.order, np.arange(N))
    np.testing.assert_array_equal(plan.offset_y, cifar_plan().offset_y)


@pytest.mark.parametrize("shuffle", [False, True])
def test_plain_plan_takes_every_image_whole(shuffle):
    plan = plain_plan(0, 0, 100, padding=4, shuffle=shuffle)
    expected_order = cifar_plan(n=100).order if shuffle else np.arange(100)
    np.testing.assert_array_equal(plan.order, expected_order)
    assert (plan.offset_y == 4).all()
    assert (plan.offset_x == 4).all()
    assert not plan.flip.any()


@pytest.mark.parametrize("value", [-1, 2**63, 1.5, "1", None])
@pytest.mark.parametrize("name", ["seed", "epoch"])
def test_seed_or_epoch_out_of_range_is_an_input_error(name, value):
    key = {"seed": 0, "epoch": 0} | {name: value}
    with pytest.raises(InputError, match=rf"{name} {value!r}: expected a whole number from 0 to"):
        random_plan(**key, n=10, padding=4, flip=True)
