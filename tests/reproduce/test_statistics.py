"""Statistics over seeds, against scipy."""

import pytest
from scipy.stats import ttest_rel

from ffdwv_fast.reproduce.statistics import paired_difference, sample

FIRST = {0: 6.93, 1: 7.1, 2: 6.7, 5: 7.4}
SECOND = {0: 6.6, 1: 6.9, 2: 6.75, 9: 1.0}


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
def test_paired_interval_is_scipys_on_the_common_seeds(confidence):
    common = (0, 1, 2)
    a, b = ([values[seed] for seed in common] for values in (FIRST, SECOND))
    expected = ttest_rel(a, b).confidence_interval(confidence)
    found = paired_difference(FIRST, SECOND, confidence)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-9)
    assert (found.mean, found.n) == (pytest.approx((0.33 + 0.2 - 0.05) / 3), 3)


def test_differences_of_known_spread():
    found = paired_difference({0: 3.0, 1: 5.0}, {0: 1.0, 1: 1.0})
    assert (found.mean, found.sd) == pytest.approx((3.0, 2**0.5))
    reach = 12.706204736432095  # t of one degree of freedom, 0.975; sd / sqrt(2) is 1
    assert (found.low, found.high) == pytest.approx((3 - reach, 3 + reach))


def test_one_pair_has_no_interval_and_none_no_difference():
    assert paired_difference({0: 3.0}, {0: 1.0, 1: 9.0}) == (2.0, None, 1, None, None)
    assert paired_difference({0: 3.0}, {1: 1.0}) is None
    assert sample([]) is None
