"""What the loss benchmark feeds its contenders, counts and refuses."""

import json

import pytest
import torch
from torch.nn import functional as F

from benchmarks import loss, loss_inputs, loss_measure
from benchmarks.hardware import last_level_cache
from benchmarks.loss_contenders import CONTENDERS, WORKLOADS, Contender
from benchmarks.loss_inputs import Case, Inputs, bytes_of_a_call, make_sets, not_a_leaf, set_count
from benchmarks.loss_measure import Limits, measure
from ffdwv_fast.command import run_command

CPU = torch.device("cpu")
SMALL = Case("class rows", torch.float32, 6, 5, CPU)
LIMITS = Limits(rounds=2, seconds=0.0, tiny=True)


def only(monkeypatch, *contenders):
    monkeypatch.setattr(loss_measure, "CONTENDERS", contenders)


def named(name) -> Contender:
    (found,) = [c for c in CONTENDERS if c.name == name]
    return found


def test_logits_are_not_a_leaf_and_gradients_pass_any_number_of_times():
    values = torch.randn(4, 3)
    logits = not_a_leaf(values.clone())
    assert torch.equal(logits, values)
    assert not logits.is_leaf
    labels = torch.tensor([0, 1, 2, 0])
    grads = []
    logits.register_hook(grads.append)
    for _ in range(2):
        F.cross_entropy(logits, labels).backward()
    wanted = (values.softmax(1) - F.one_hot(labels)) / 4
    for grad in grads:
        torch.testing.assert_close(grad, wanted)
    assert len(grads) == 2


@pytest.mark.parametrize("size", [6_000, 400_000, 40_000_000])
def test_sets_exceed_the_cache_within_bounded_memory(size):
    count = set_count(size, CPU, tiny=False)
    assert count * size > last_level_cache(CPU)
    assert count >= 3
    assert count * size <= max(1 << 30, 3 * size)


def test_cached_inputs_are_three_sets():
    assert len(make_sets(SMALL._replace(cached=True), True, False, tiny=False)) == 3


def test_own_lines_in_16_bits_are_timed_in_float32_too(monkeypatch):
    only(monkeypatch, named("eager"), named("ffdwv_loss"))
    rows, _ = measure(SMALL._replace(dtype=torch.bfloat16, rows=16), Limits(2, 1.0, tiny=True))
    found = {row["contender"]: row["call"].get("times_float32") for row in rows}
    assert found.keys() == {"eager", "ffdwv_loss", "copy"}
    assert found["ffdwv_loss"]["median"] > 0
    assert found["eager"] is found["copy"] is None
    rows, _ = measure(SMALL, Limits(2, 1.0, tiny=True))
    assert all("times_float32" not in row["call"] for row in rows)


def test_sets_differ_in_logits_labels_and_teacher_and_share_the_matrix():
    first, second, *_ = make_sets(SMALL, similarity=True, teacher=True, tiny=True)
    for name in ("logits", "labels", "teacher"):
        assert not torch.equal(getattr(first, name), getattr(second, name))
    assert first.similarity is second.similarity  # as in training
    assert torch.allclose(first.similarity.sum(1), torch.ones(5))


@pytest.mark.parametrize(
    ("dtype", "similarity", "teacher", "wanted"),
    [
        (torch.float32, None, None, 2 * 4 * 5 * 4),
        (torch.bfloat16, None, None, 2 * 4 * 5 * 2),
        (torch.float32, torch.eye(5), None, 2 * 4 * 5 * 4 + 3 * 5 * 4),
        (torch.bfloat16, torch.eye(5), None, 2 * 4 * 5 * 2 + 3 * 5 * 4),
        (torch.float32, torch.full((1, 5), 0.2).expand(5, 5), None, 2 * 4 * 5 * 4 + 5 * 4),
        (torch.bfloat16, None, torch.zeros(4, 5, dtype=torch.bfloat16), 3 * 4 * 5 * 2),
    ],
)
def test_bytes_are_those_that_must_move(dtype, similarity, teacher, wanted):
    labels = torch.tensor([0, 3, 3, 4])  # three distinct ones
    inputs = Inputs(torch.zeros(4, 5, dtype=dtype), labels, similarity, teacher)
    assert bytes_of_a_call(inputs) == wanted


def test_matrix_too_large_is_one_row_expanded(monkeypatch):
    monkeypatch.setattr(loss_inputs, "_LARGEST_MATRIX", 5 * 5 * 4 - 1)
    (inputs, *_) = make_sets(SMALL, similarity=True, teacher=False, tiny=True)
    assert inputs.similarity.shape == (5, 5)
    assert inputs.similarity.untyped_storage().nbytes() == 5 * 4


def test_contender_that_computes_another_loss_is_not_timed(monkeypatch):
    halved = named("eager")._replace(
        name="halved",
        make=lambda workload: (
            lambda inputs: (workload.formula(*inputs) / 2).backward() or torch.tensor(1.0)
        ),
    )
    only(monkeypatch, named("eager"), halved)
    with pytest.raises(RuntimeError, match=r"halved, class rows, 6 x 5 .* not the same loss"):
        measure(SMALL, LIMITS)


def test_contender_that_does_not_run_here_is_left_out_with_its_reason(monkeypatch):
    def make(_workload):
        raise OSError("no compiler")

    foreign = named("eager")._replace(name="foreign", make=make)
    later = named("eager")._replace(name="later", missing=lambda _: "comes later")
    only(monkeypatch, named("eager"), foreign, later)
    rows, absent = measure(SMALL, LIMITS)
    assert {row["contender"] for row in rows} == {"eager", "copy"}
    assert absent == {"foreign": "OSError: no compiler", "later": "comes later"}


def test_own_contender_that_fails_is_an_error(monkeypatch):
    def make(_workload):
        raise OSError("broken")

    only(monkeypatch, named("eager"), named("ffdwv_loss")._replace(make=make))
    with pytest.raises(OSError, match="broken"):
        measure(SMALL, LIMITS)


def test_contender_that_overwrites_its_logits_gets_copies(monkeypatch):
    def make(workload):
        def step(inputs):
            value = workload.formula(*inputs)
            value.backward()
            with torch.no_grad():
                inputs.logits.zero_()
            return value

        return step

    sets = make_sets(SMALL, similarity=True, teacher=False, tiny=True)
    before = sets[0].logits.detach().clone()
    monkeypatch.setattr(loss_measure, "make_sets", lambda *_: sets)
    vandal = named("eager")._replace(name="vandal", make=make, overwrites=True)
    only(monkeypatch, vandal, named("eager"))
    rows, _ = measure(SMALL, LIMITS)
    assert torch.equal(sets[0].logits, before)
    assert {row["contender"] for row in rows} == {"vandal", "eager", "copy"}


@pytest.mark.parametrize("name", list(WORKLOADS))
def test_formula_gives_the_gradient_of_the_loss_it_names(name):
    torch.manual_seed(0)
    x, teacher = torch.randn(2, 4, 5, dtype=torch.float64)
    labels, matrix = torch.tensor([0, 3, 3, 4]), torch.randn(5, 5).double().softmax(1)
    x.requires_grad_()
    WORKLOADS[name].formula(x, labels, matrix, teacher).backward()
    hard = (x.softmax(1) - F.one_hot(labels, 5)) / 4
    soft = {
        "class rows": (x.softmax(1) - matrix[labels]) / 4,
        "teacher": ((x / 4).softmax(1) - (teacher / 4).softmax(1)) * 4 / 4,  # T, over N
        "hard labels": torch.zeros_like(x),
    }
    torch.testing.assert_close(x.grad, hard + soft[name])


def test_command_prints_a_table_and_writes_the_numbers(tmp_path, monkeypatch, capsys):
    only(monkeypatch, named("eager"), named("ffdwv_loss"))
    file = tmp_path / "loss.json"
    options = ["--device", "cpu", "--tiny", "--shapes", "6x5,3x7", "--dtype", "bfloat16"]
    loss.main([*options, "--losses", "all", "--rounds", "2", "--json", str(file)])
    printed = capsys.readouterr().out
    written = json.loads(file.read_text())
    sizes = [(row["loss"], row["rows"], row["classes"]) for row in written["rows"]]
    assert set(sizes) == {(name, n, c) for name in WORKLOADS for n, c in ((6, 5), (3, 7))}
    assert {row["dtype"] for row in written["rows"]} == {"bfloat16"}
    assert {row["call"]["rounds"] for row in written["rows"]} == {2}
    assert all(line in printed for line in written["table"])
    assert written["header"]["cpu"] in printed


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--shapes", "128x10,7"), "'7' is not NxC, as in 128x10"),
        (("--shapes", "0x10"), "'0x10' is not NxC"),
        (("--dtype", "float8"), "'float8' is not one of float64, float32"),
        (("--losses", "dice"), "'dice' is not one of class rows, teacher, hard labels, all"),
    ],
)
def test_bad_option_is_one_line(capsys, options, says):
    with pytest.raises(SystemExit) as stopped:
        run_command(lambda _: loss.main(["--device", "cpu", *options]))
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert says in line
