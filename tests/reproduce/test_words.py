"""What a difference is in words."""

import pytest

from ffdwv_fast.reproduce.plans import Arm
from ffdwv_fast.reproduce.statistics import PairedDifference
from ffdwv_fast.reproduce.tables import Row
from ffdwv_fast.reproduce.words import readings


@pytest.mark.parametrize(
    ("difference", "words"),
    [
        ((-0.5, 0.1, 3, -0.75, -0.25), "0.50 points fewer errors (0.25 to 0.75) than with vanilla"),
        ((0.5, 0.1, 3, 0.25, 0.75), "0.50 points more errors (0.25 to 0.75) than with vanilla"),
        (
            (-0.5, 0.9, 3, -1.25, 0.25),
            "no difference is shown; the 95 % interval goes from 1.25 points fewer errors to 0.25 "
            "points more than with vanilla",
        ),
        ((0.5, None, 1, None, None), "0.50 points more errors than in the one run of vanilla"),
    ],
    ids=["fewer", "more", "unknown", "one pair"],
)
def test_reading(difference, words):
    arm = Arm("digits", "resnet8", "double-ce")
    row = Row(arm, (0,), None, None, {"vanilla": PairedDifference(*difference)}, {}, {})
    n = difference[2]
    expected = f"digits resnet8 double-ce: {words}{f' (n = {n})' if n > 1 else ''}."
    assert readings([row]) == [expected]
