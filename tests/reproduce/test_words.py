"""What a difference is in words."""

import pytest

from ffdwv_fast.reproduce.plans import Arm, Question
from ffdwv_fast.reproduce.statistics import PairedDifference
from ffdwv_fast.reproduce.store import FinishedRun
from ffdwv_fast.reproduce.tables import Row
from ffdwv_fast.reproduce.words import answers, readings


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
        (
            (0.0, 0.0, 3, 0.0, 0.0),
            "no difference is shown; the 95 % interval goes from 0.00 points fewer errors to 0.00 "
            "points more than with vanilla",
        ),
        ((0.5, None, 1, None, None), "0.50 points more errors than in the one run of vanilla"),
    ],
    ids=["fewer", "more", "unknown", "none", "one pair"],
)
def test_reading(difference, words):
    arm = Arm("digits", "resnet8", "double-ce")
    row = Row(arm, (0,), None, None, {"vanilla": PairedDifference(*difference)}, {}, {}, {})
    n = difference[2]
    expected = f"digits resnet8 double-ce: {words}{f' (n = {n})' if n > 1 else ''}."
    assert readings([row]) == [expected]


def runs_with(errors):
    """Runs by seed, of which nothing but the error is asked."""
    return {
        seed: FinishedRun(None, None, {"test_error": error}) for seed, error in enumerate(errors)
    }


def test_questions_are_answered_by_the_pairs_that_say_something_of_them():
    glove, other = (Arm("digits", "resnet8", "ffdwv", words) for words in ("glove-6b-50d", "w.bin"))
    results = {
        Arm("digits", "resnet8", "vanilla"): runs_with([10.0, 12.0]),
        glove: runs_with([9.0, 11.0]),
        other: runs_with([8.0]),
        Arm("digits", "resnet8", "label-smoothing"): runs_with([9.5, 11.5]),
        Arm("digits", "resnet20", "vanilla"): runs_with([1.0, 1.0]),
    }
    questions = [
        Question("all of it", "ffdwv", "vanilla"),
        Question("the words", "ffdwv", "label-smoothing"),
        Question("the scale", "double-ce", "vanilla"),
    ]
    fewer = "points fewer errors"
    assert answers(questions, results) == [
        f"all of it (digits resnet8 ffdwv glove-6b-50d minus vanilla): 1.00 {fewer} (1.00 to 1.00) "
        "than with vanilla (n = 2).",
        f"all of it (digits resnet8 ffdwv w.bin minus vanilla): 2.00 {fewer} than in the one run "
        "of vanilla.",
        # Not of w.bin: that label-smoothing has the softness of the other vectors.
        f"the words (digits resnet8 ffdwv glove-6b-50d minus label-smoothing): 0.50 {fewer} "
        "(0.50 to 0.50) than with label-smoothing (n = 2).",
    ]
