"""What the benchmarks of step and loader compare, and the reference behind their ratios."""

import json

import pytest
import torch
from torch.nn import functional as F

from benchmarks import loader, reference_train, step, step_contenders
from benchmarks.images import random_dataset
from benchmarks.step_contenders import CONTENDERS, REFERENCE, Case, similarity
from benchmarks.timing import Limits, ratios, spread
from ffdwv_fast.command import run_command
from ffdwv_fast.data.digits import load_digits
from ffdwv_fast.data.loader import LOADERS
from ffdwv_fast.engine.speedups import SPEEDUPS

CPU = torch.device("cpu")
CASE = Case("resnet8", 6, CPU)
DATASET = random_dataset(18, 8)


@pytest.fixture(autouse=True)
def nothing_is_compiled():
    with torch.compiler.set_stance("force_eager"):
        yield


@pytest.mark.parametrize("name", [n for n, c in CONTENDERS.items() if c.missing(CPU) is None])
def test_contender_trains_as_the_reference_does(name):
    contender = CONTENDERS[name]
    runs = CONTENDERS[REFERENCE].make(CASE), contender.make(CASE)
    formats = False, contender.channels_last
    for running, layout in zip(runs, formats, strict=True):
        for batch in step.batches(CASE, DATASET, layout, 3):
            running.step(batch)
    reference, own = (running.loss() / 3 / CASE.batch_size for running in runs)
    assert own == pytest.approx(reference, rel=3e-2 if contender.in_bf16(CPU) else 1e-4)


def test_each_speedup_has_a_line_of_its_own():
    names = list(CONTENDERS)
    assert names.index("fused loss") > names.index(REFERENCE)
    for name in set(SPEEDUPS) - {"channels-last"}:
        assert f"+ {name}" in names
    plain = [name for name in names if name.startswith("plain ")]
    assert len(plain) == 7  # with the reference, all of bf16 x channels-last x compile


def test_contender_that_computes_another_loss_is_not_timed(monkeypatch):
    def make(case):
        running = CONTENDERS["fused loss"].make(case)
        return running._replace(loss=lambda: 1.1 * running.loss())

    wrong = CONTENDERS["fused loss"]._replace(make=make)
    with pytest.raises(RuntimeError, match=r"fused loss: .* it is not the same step"):
        step.measure(CASE, DATASET, [CONTENDERS[REFERENCE], wrong], Limits(1, 0.0))


def test_batches_are_the_same_pixels_in_both_formats():
    plain, last = (step.batches(CASE, DATASET, layout, 2) for layout in (False, True))
    assert plain[0].images.is_contiguous()
    assert last[0].images.is_contiguous(memory_format=torch.channels_last)
    assert all(torch.equal(a.images, b.images) for a, b in zip(plain, last, strict=True))
    assert not torch.equal(plain[0].images, plain[1].images)
    # Pixels of 0 to 255 at mean and standard deviation 0.5.
    assert plain[0].images.abs().max() <= 1
    assert plain[0].images.max().item() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(
    ("options", "compiled"),
    [
        ([], 5),  # four plain ones, and one that needs a GPU
        (["--no-compile"], 0),
        (["--tiny"], 6),
        (["--steps", "+ compile"], 1),
    ],
)
def test_lines_that_compile_on_a_cpu(monkeypatch, options, compiled):
    monkeypatch.setattr(step_contenders, "computes_in_bf16", lambda _device: True)
    chosen = step.picked(step.parser().parse_args(options), CPU)
    assert sum(contender.compiled for contender in chosen) == compiled
    assert chosen[0].name == REFERENCE


@pytest.mark.parametrize(
    ("options", "has_instructions", "in_bf16"),
    [
        ([], True, ["plain amp", "plain amp channels-last"]),
        ([], False, []),
        (["--steps", "plain amp"], False, ["plain amp"]),
    ],
)
def test_bf16_is_not_emulated_unless_asked_for(monkeypatch, options, has_instructions, in_bf16):
    monkeypatch.setattr(step_contenders, "computes_in_bf16", lambda _device: has_instructions)
    chosen = step.picked(step.parser().parse_args([*options, "--no-compile"]), CPU)
    plain = [one.name for one in chosen if one.kind == step_contenders.PLAIN and one.in_bf16(CPU)]
    assert plain == in_bf16


def test_fastest_plain_step_is_one_of_pytorchs_own():
    samples = {
        REFERENCE: [3.0, 3.1, 9.0],
        "plain amp": [2.0, 2.1, 2.2],
        "plain compile": [1.0, 2.5, 2.5],
        "+ weight-copies": [1.0, 1.0, 1.0],
    }
    assert step.best_plain(samples) == "plain amp"
    assert step.best_plain({REFERENCE: [3.0], "fused loss": [1.0]}) == REFERENCE


def test_step_command_prints_a_table_and_writes_the_numbers(tmp_path, capsys):
    file = tmp_path / "step.json"
    options = ["--device", "cpu", "--tiny", "--steps", "fused loss,+ cuda-graph"]
    step.main([*options, "--json", str(file)])
    printed, written = capsys.readouterr().out, json.loads(file.read_text())
    reference, fused = written["rows"]
    assert [reference["step"], fused["step"]] == [REFERENCE, "fused loss"]
    wanted = spread(ratios(reference["samples_ms"], fused["samples_ms"])).median
    assert fused["times_reference"]["median"] == pytest.approx(wanted, rel=1e-3)
    assert fused["best_plain"] == REFERENCE  # the only plain step that was asked for
    assert fused["times_plain"] == fused["times_reference"]
    assert "fastest plain step of resnet8, batch 4: reference" in printed
    assert fused["images_per_second"] == pytest.approx(4e3 / fused["ms"]["median"])
    assert written["absent"] == {"+ cuda-graph": "needs a GPU"}
    assert all(line in printed for line in written["table"])


def test_loader_command_measures_every_loader_alone_and_with_the_step(tmp_path, capsys):
    file = tmp_path / "loader.json"
    loader.main(["--device", "cpu", "--tiny", "--json", str(file)])
    printed, written = capsys.readouterr().out, json.loads(file.read_text())
    rows = {(row["part"], row["loader"]): row for row in written["rows"]}
    everyone = {REFERENCE, *LOADERS} - set(written["absent"])
    assert {name for part, name in rows if part == "alone"} == everyone
    assert {name for part, name in rows if part == "with the step"} == everyone | {loader.STATIC}
    assert rows["with the step", loader.STATIC]["cost"]["median"] == 0
    for name in everyone:
        row, static = rows["with the step", name], rows["with the step", loader.STATIC]
        cost = spread(ratios(row["samples_s"], static["samples_s"])).median - 1
        assert row["cost"]["median"] == pytest.approx(cost)
        assert rows["alone", name]["images_per_second"] > 0
    assert all(line in printed for line in written["table"])


@pytest.mark.parametrize(("seconds", "steps"), [(0.25, 8), (1.0, 4), (0.001, 2000)])
def test_an_epoch_with_the_step_takes_two_seconds_or_four_steps(seconds, steps):
    warming_up = iter([5.0, seconds, 1.1 * seconds])
    assert loader.steps_of_an_epoch(lambda: next(warming_up)) == steps


def test_loader_that_cannot_run_is_named_with_the_reason(monkeypatch):
    monkeypatch.setattr(loader, "dali_available", lambda: False)
    monkeypatch.setattr(loader, "why_not_on", lambda device: f"not built for {device}")
    found, absent = loader.loaders(DATASET, CASE)
    assert set(found) == {REFERENCE, "torch"}
    assert absent == {"dali": "DALI is not installed", "gpu": "not built for cpu"}


def test_a_loaders_seconds_are_those_of_its_whole_epoch():
    used = []
    batches = [1, 2, 3]
    assert loader.seconds_of(lambda: iter(batches), CPU, used.append) > 0
    assert used == batches


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--steps", "magic"), "--steps: no 'magic'; there are: reference; plain amp"),
        (("--models", "vgg"), "--models vgg: expected one of resnet8"),
        (("--batch-sizes", "0"), "'0' is not an integer of 1 or more"),
    ],
)
def test_bad_option_is_one_line(capsys, options, says):
    with pytest.raises(SystemExit) as stopped:
        run_command(lambda _: step.main(["--device", "cpu", *options]))
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert says in line


def test_matrix_of_the_steps_is_one_of_soft_labels():
    matrix = similarity(CPU)
    torch.testing.assert_close(matrix.sum(1), torch.ones(step_contenders.CLASSES))
    assert (matrix.argmax(1) == torch.arange(step_contenders.CLASSES)).all()


def test_reference_images_are_crops_of_the_padded_ones_and_not_always_the_same():
    digits = load_digits()
    images = reference_train.Images(digits.train, digits, train=True)
    raw = torch.from_numpy(digits.train.images[5]).permute(2, 0, 1)
    padded = F.pad(raw, (1, 1, 1, 1)).float()
    crops = [padded[:, y : y + 8, x : x + 8] for y in range(3) for x in range(3)]
    wanted = [(crop / 255 - digits.mean[0]) / digits.std[0] for crop in crops]
    torch.manual_seed(0)
    seen = set()
    for _ in range(100):
        image, label = images[5]
        assert label == digits.train.labels[5]
        seen.add(next(k for k, crop in enumerate(wanted) if torch.allclose(image, crop)))
    assert seen == set(range(9))
    plain = reference_train.Images(digits.test, digits, train=False)
    assert torch.equal(plain[3][0], plain[3][0])


def test_reference_flips_half_of_the_images_of_sets_that_may_be():
    flips = random_dataset(4, 8)
    images = reference_train.Images(flips.train, flips, train=True)
    images.padding = 0
    raw = (torch.from_numpy(flips.train.images[1]).permute(2, 0, 1) / 255 - 0.5) / 0.5
    torch.manual_seed(0)
    flipped = [torch.allclose(images[1][0], raw.flip(-1), atol=1e-6) for _ in range(200)]
    assert 70 < sum(flipped) < 130


def test_reference_learns(capsys):
    options = ["--dataset", "digits", "--model", "resnet8", "--epochs", "5", "--batch-size", "32"]
    reference_train.main([*options, "--lr", "0.05", "--workers", "0", "--device", "cpu"])
    *_, last = capsys.readouterr().out.splitlines()
    assert last.startswith("epoch 5/5")
    assert float(last.split("test error")[1].split("%")[0]) < 20  # chance: 90
