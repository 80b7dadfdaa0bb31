"""The comparison of test errors: its statistics, what it runs and what it does not run again."""

import json
import os
import statistics

import pytest
import torch
from scipy.stats import ttest_rel

from benchmarks import equivalence, reference_train, trainings
from benchmarks.trainings import FAST, REFERENCE, Job, Training
from ffdwv_fast import train
from ffdwv_fast.command import run_command
from ffdwv_fast.data.digits import load_digits
from ffdwv_fast.engine.schedule import learning_rate
from ffdwv_fast.errors import InputError
from ffdwv_fast.models import MODELS

TINY = ("--tiny", "--device", "cpu")


def parsed(*options):
    return equivalence.parser().parse_args([*TINY, *options])


def configuration(*options):
    return equivalence.configuration(parsed(*options))


class FakeTraining:
    """Ends at the second look, with an error that tells arm and seed apart."""

    def __init__(self, job, ended, fails=()):
        self.job, self.seconds, self.closed = job, 1.0, False
        self._ended, self._fails, self._looks = ended, fails, 0

    def result(self):
        self._looks += 1
        if self._looks < 2:
            return None
        if self.job in self._fails:
            raise InputError("the run failed")
        self._ended.append(self.job)
        error = 30 + self.job.seed + (0.25 if self.job.arm == FAST else 0)
        return {**self.job._asdict(), "test_error": error, "seconds": 1.0}

    def close(self):
        self.closed = True


@pytest.fixture
def ended(monkeypatch):
    """The jobs that have been run, by nobody."""
    jobs = []
    monkeypatch.setattr(trainings, "SECONDS_BETWEEN_LOOKS", 0)
    monkeypatch.setattr(equivalence, "Training", lambda job, *_: FakeTraining(job, jobs))
    return jobs


def test_interval_of_a_hand_worked_case():
    found = equivalence.difference([10.0, 11.0, 12.0], [11.0, 11.0, 13.0])
    half = 2.919986 * 0.5773503 / 3**0.5  # t(0.95; 2), sd of 1, 0, 1
    assert found.mean == pytest.approx(2 / 3)
    assert found.sd == pytest.approx(0.5773503)
    assert found.n == 3
    assert (found.low, found.high) == pytest.approx((2 / 3 - half, 2 / 3 + half), rel=1e-6)


@pytest.mark.parametrize("n", [2, 5, 8, 40])
def test_interval_is_that_of_the_paired_t_test(n):
    generator = torch.Generator().manual_seed(n)
    reference, fast = (30 + 2 * torch.randn(2, n, generator=generator)).tolist()
    found = equivalence.difference(reference, fast)
    wanted = ttest_rel(fast, reference).confidence_interval(0.9)
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), rel=1e-9)


@pytest.mark.parametrize(
    ("differences", "within"),
    [
        ([0.1, -0.2, 0.3, -0.1], True),
        ([1.4, 1.4, 1.4, 1.4], True),
        ([1.6, 1.6, 1.6, 1.6], False),
        ([-1.6, -1.6, -1.6, -1.6], False),
        ([1.3, 1.4, 1.3, 1.4], True),  # to 1.42
        ([1.3, 1.6, 1.3, 1.6], False),  # a mean of 1.45, an interval to 1.65
        ([3.0, -3.0, 2.0, -2.0], False),  # a mean of 0, but too few runs to know it
    ],
)
def test_equivalent_is_an_interval_within_the_margin(differences, within):
    fast = [30 + d for d in differences]
    assert equivalence.difference([30.0] * len(fast), fast).within is within


def test_both_arms_are_given_the_same_recipe(tmp_path):
    config = configuration(
        "--method", "vanilla", "--epochs", "3", "--images", "70", "--amp", "bf16"
    )
    parsers = {FAST: train.parser(), REFERENCE: reference_train.parser()}
    fast, reference = (
        # without -m and the module
        parser.parse_args(trainings.command(Job(arm, 5), config, tmp_path, tmp_path)[2:])
        for arm, parser in parsers.items()
    )
    for name in ("dataset", "model", "batch_size", "lr", "weight_decay", "device"):
        assert getattr(fast, name) == getattr(reference, name), name
    assert fast.train_limit == reference.limit == 70
    assert (fast.amp, fast.without, fast.cuda_graph) == ("bf16", [], "auto")
    for arm in (fast, reference):
        assert (arm.method, arm.epochs, arm.seed) == ("vanilla", 3, 5)


@pytest.mark.parametrize("epochs", [1, 2, 3, 5, 6, 7, 12])
def test_both_arms_drop_the_rate_at_the_same_epochs(monkeypatch, capsys, epochs):
    rates = []

    def note(model, optimizer, *rest):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()  # of no gradients; its schedule complains without
        return 1.0, 1.0

    monkeypatch.setattr(reference_train, "train_epoch", note)
    monkeypatch.setattr(reference_train, "evaluate", lambda *_: 50.0)
    options = ["--dataset", "digits", "--model", "resnet8", "--epochs", str(epochs)]
    reference_train.main([*options, "--lr", "0.1", "--workers", "0", "--device", "cpu"])
    assert rates == pytest.approx([learning_rate(0.1, k, epochs) for k in range(epochs)])


def test_runs_of_a_seed_start_from_the_same_weights():
    torch.manual_seed(3)
    reference = reference_train.make_model("resnet8", 10, 1)
    torch.manual_seed(3)
    fast = MODELS["resnet8"](10, in_channels=1, shortcut="A")
    for (name, a), (_, b) in zip(
        reference.named_parameters(), fast.named_parameters(), strict=True
    ):
        assert torch.equal(a, b), name


def test_runs_that_stand_in_the_file_are_not_done_again(tmp_path, ended):
    file = tmp_path / "result.json"
    equivalence.main([*TINY, "--seeds", "0,1", "--json", str(file)])
    assert sorted(ended) == [Job(arm, seed) for arm in (FAST, REFERENCE) for seed in (0, 1)]
    first = json.loads(file.read_text())
    ended.clear()
    equivalence.main([*TINY, "--seeds", "0,1", "--json", str(file)])
    assert ended == []
    assert json.loads(file.read_text())["runs"] == first["runs"]
    equivalence.main([*TINY, "--seeds", "1,2", "--json", str(file)])
    assert sorted(ended) == [Job(FAST, 2), Job(REFERENCE, 2)]
    last = json.loads(file.read_text())
    assert (last["difference"]["n"], last["difference"]["mean"]) == (2, 0.25)
    assert len(last["runs"]) == 6


def test_runs_that_ended_before_a_failure_are_kept(tmp_path, ended, monkeypatch):
    file = tmp_path / "result.json"
    bad = [Job(FAST, 1)]
    with monkeypatch.context() as patch:
        patch.setattr(equivalence, "Training", lambda job, *_: FakeTraining(job, ended, bad))
        with pytest.raises(InputError):
            equivalence.main([*TINY, "--seeds", "0,1", "--jobs", "1", "--json", str(file)])
    kept = [Job(run["arm"], run["seed"]) for run in json.loads(file.read_text())["runs"]]
    assert kept == ended == [Job(REFERENCE, 0), Job(FAST, 0), Job(REFERENCE, 1)]
    ended.clear()
    equivalence.main([*TINY, "--seeds", "0,1", "--json", str(file)])
    assert ended == bad


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--epochs", "2"), "its runs have epochs 1, not 2"),
        (("--images", "100"), "its runs have images 200, not 100"),
        (("--model", "resnet20"), "its runs have model resnet8, not resnet20"),
        (("--method", "vanilla"), "its runs have method ffdwv, not vanilla"),
    ],
)
def test_runs_of_another_configuration_are_not_used(tmp_path, ended, options, says):
    file = tmp_path / "result.json"
    equivalence.main([*TINY, "--json", str(file)])
    before = file.read_bytes()
    ended.clear()
    with pytest.raises(InputError, match=says):
        equivalence.main([*TINY, *options, "--json", str(file)])
    assert ended == []
    assert file.read_bytes() == before


def test_as_many_runs_as_asked_for_go_on_at_once(monkeypatch):
    monkeypatch.setattr(trainings, "SECONDS_BETWEEN_LOOKS", 0)
    jobs, ended, together = [Job(FAST, seed) for seed in range(5)], [], []

    def keep(result, waiting, running):
        together.append(len(running))

    def start(job):
        together.append(job.seed + 1 - len(ended))
        return FakeTraining(job, ended)

    trainings.run_jobs(jobs, 2, start, keep)
    assert ended == jobs
    assert max(together) == 2


def test_a_failed_run_ends_the_others(monkeypatch):
    monkeypatch.setattr(trainings, "SECONDS_BETWEEN_LOOKS", 0)
    started, jobs = [], [Job(arm, 0) for arm in (REFERENCE, FAST)]

    def start(job):
        started.append(FakeTraining(job, [], fails=jobs))
        return started[-1]

    with pytest.raises(InputError, match="the run failed"):
        trainings.run_jobs(jobs, 2, start, lambda *_: None)
    assert [one.closed for one in started] == [True, True]


def test_time_left_counts_each_arms_own_mean_and_what_has_begun():
    runs = [
        {"arm": REFERENCE, "seconds": 100.0},
        {"arm": REFERENCE, "seconds": 140.0},
        {"arm": FAST, "seconds": 50.0},
    ]
    begun = FakeTraining(Job(REFERENCE, 7), [])
    begun.seconds = 20.0
    waiting = [Job(FAST, 7), Job(REFERENCE, 8), Job(FAST, 8)]
    left = trainings.seconds_left(runs, waiting, [begun], 2)
    assert left == pytest.approx((50 + 120 + 50 + (120 - 20)) / 2)


def test_run_that_fails_is_named_with_its_own_last_line(tmp_path):
    bad = configuration()._replace(model="vgg")
    training = Training(Job(REFERENCE, 4), bad, tmp_path, threads=1)
    try:
        training._process.wait(60)
        with pytest.raises(InputError, match=r"reference run of seed 4 failed: .*'vgg'"):
            training.result()
    finally:
        training.close()


def test_run_that_is_closed_is_no_longer_there(tmp_path):
    training = Training(Job(REFERENCE, 0), configuration(), tmp_path, threads=1)
    pid = training._process.pid
    assert training.result() is None
    training.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_tiny_comparison_end_to_end(tmp_path, capsys):
    file = tmp_path / "result.json"
    equivalence.main([*TINY, "--json", str(file)])
    printed, written = capsys.readouterr().out, json.loads(file.read_text())
    runs = {(run["arm"], run["seed"]): run["test_error"] for run in written["runs"]}
    assert set(runs) == {(arm, seed) for arm in (REFERENCE, FAST) for seed in (0, 1)}
    differences = [runs[FAST, seed] - runs[REFERENCE, seed] for seed in (0, 1)]
    assert written["difference"]["mean"] == pytest.approx(statistics.fmean(differences))
    assert all(line in printed for line in written["table"])
    wrong = [error / 100 * len(load_digits().test) for error in runs.values()]
    assert wrong == pytest.approx([round(n) for n in wrong], abs=0.02)  # printed with two digits


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--seeds", "3"), "--seeds 3: expected at least two, all different"),
        (("--seeds", "1,2,1"), "--seeds 1,2,1: expected at least two"),
        (("--images", "5000"), "training limit of 5000: expected 1 to 1437"),
        (("--jobs", "0"), "'0' is not an integer of 1 or more"),
        (("--json", "{file}"), "holds no result of benchmarks.equivalence"),
    ],
)
def test_bad_option_is_one_line(tmp_path, capsys, options, says):
    file = tmp_path / "other.json"
    file.write_text('{"rows": []}')
    argv = [*TINY, *(option.format(file=file) for option in options)]
    with pytest.raises(SystemExit) as stopped:
        run_command(lambda _: equivalence.main(argv))
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert says in line
