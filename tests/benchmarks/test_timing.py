"""The rules by which benchmarks are timed."""

import gc
import itertools

import pytest

from benchmarks import timing
from benchmarks.results import table
from benchmarks.timing import Rotation, interleave, ratios, spread


def test_every_round_samples_all_contenders_in_changing_order():
    order = []
    samples = {name: lambda name=name: order.append(name) or 1.0 for name in "abc"}
    found = interleave(samples, rounds=20, seconds=60)
    rounds = [tuple(order[i : i + 3]) for i in range(0, len(order), 3)]
    assert all(sorted(one) == ["a", "b", "c"] for one in rounds)
    assert len(set(rounds)) > 1
    assert {len(values) for values in found.samples.values()} == {20}


def test_rounds_end_with_the_time_but_not_before_eleven():
    found = interleave({"a": lambda: 1.0}, rounds=10**9, seconds=0.0)
    assert len(found.samples["a"]) >= timing.FEWEST_ROUNDS


def test_machine_that_gets_slower_does_not_change_the_ratio():
    slowness = itertools.accumulate(itertools.repeat(1.02), lambda a, b: a * b)
    now = {"value": 1.0}

    def sample(cost):
        now["value"] = next(slowness)
        return cost * now["value"]

    samples = {"slow": lambda: sample(3.0), "fast": lambda: sample(1.0)}
    taken = interleave(samples, rounds=101, seconds=60).samples
    assert spread(ratios(taken["slow"], taken["fast"])).median == pytest.approx(3.0, rel=0.03)


def test_rounds_while_others_took_the_processors_are_left_out(monkeypatch):
    busy = itertools.cycle([0.6, 0.0])
    state = {}

    def block(samples, most, order):
        state["others"] = next(busy)
        return timing._Block([{"a": 9.0 if state["others"] else 1.0}] * 5, state["others"])

    monkeypatch.setattr(timing, "_block", block)
    found = interleave({"a": lambda: 0.0}, rounds=20, seconds=60)
    assert found.samples["a"] == [1.0] * 20
    assert found.others == 0
    assert found.discarded == 20


def test_busy_machine_still_gives_samples_and_says_so(monkeypatch):
    shares = itertools.cycle([0.9, 0.5])
    monkeypatch.setattr(timing, "_block", lambda *_: timing._Block([{"a": 1.0}] * 6, next(shares)))
    found = interleave({"a": lambda: 0.0}, rounds=1000, seconds=0.05)
    assert len(found.samples["a"]) >= timing.FEWEST_ROUNDS
    assert found.others >= 0.5


def test_load_of_other_processes_is_seen(tmp_path):
    before = timing._ProcessorSeconds(busy=100.0, all=1000.0, own=10.0)
    after = timing._ProcessorSeconds(busy=103.0, all=1004.0, own=11.0)
    assert timing._taken_by_others(before, after) == 0.5


def test_garbage_collector_is_off_while_timing_and_back_on_after():
    seen = []
    interleave({"a": lambda: seen.append(gc.isenabled()) or 1.0}, rounds=2, seconds=60)
    assert len(seen) >= 2  # more where the machine was not quiet
    assert not any(seen)
    assert gc.isenabled()


def test_rotation_hands_out_a_set_again_only_after_all_others():
    rotation = Rotation(range(7))
    taken = [item for count in (3, 1, 5, 7) for item in rotation.take(count)]
    assert taken == [i % 7 for i in range(16)]


def test_quartiles_of_known_values():
    assert spread([5.0, 1.0, 2.0, 4.0, 3.0]) == (3.0, 2.0, 4.0)
    assert spread([2.5]) == (2.5, 2.5, 2.5)


def test_numbers_stand_to_the_right_and_words_to_the_left():
    assert table(("who", "us"), [("a", "1.5"), ("long", "1,000")]) == [
        "who      us",
        "----  -----",
        "a       1.5",
        "long  1,000",
    ]
