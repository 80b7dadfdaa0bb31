"""What the benchmarks' commands share."""

import json
import re

import pytest
import torch

from benchmarks.command_line import Benchmark, busy_notes, limits_of, run_cases
from benchmarks.images import IMAGES, SIZE, dataset_of, description, random_dataset
from benchmarks.loss import LIMITS, parser
from benchmarks.step import parser as step_parser
from benchmarks.timing import Limits
from ffdwv_fast import InputError

CPU = torch.device("cpu")


def counting(measure) -> Benchmark:
    return Benchmark(
        ("explained",), lambda case: f"case {case}", measure, lambda found: [str(found["rows"])]
    )


def test_what_was_measured_before_an_interruption_is_in_the_file(tmp_path):
    def measure(case):
        if case == 3:
            raise KeyboardInterrupt
        return [{"case": case}], {f"absent {case}": "why"}

    file = tmp_path / "deep" / "some.json"
    with pytest.raises(KeyboardInterrupt):
        run_cases(counting(measure), [1, 2, 3], CPU, file)
    written = json.loads(file.read_text())
    assert written["rows"] == [{"case": 1}, {"case": 2}]
    assert written["absent"] == {"absent 1": "why", "absent 2": "why"}
    assert written["table"] == ["[{'case': 1}, {'case': 2}]"]
    assert written["header"]["torch"] == torch.__version__


def test_a_case_too_large_for_the_gpu_is_named_and_the_next_one_measured(tmp_path, capsys):
    def measure(case):
        if case == 1:
            raise torch.OutOfMemoryError
        return [{"case": case}], {}

    run_cases(counting(measure), [1, 2], CPU, tmp_path / "some.json")
    written = json.loads((tmp_path / "some.json").read_text())
    assert written["rows"] == [{"case": 2}]
    assert written["absent"] == {"case 1": "out of GPU memory"}
    printed, progress = capsys.readouterr()
    assert printed.startswith("explained\n")
    assert printed.endswith("[{'case': 2}]\n")
    assert progress == "case 1 ...\ncase 2 ...\n"


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ([], LIMITS),
        (["--rounds", "7"], Limits(7, LIMITS.seconds)),
        (["--tiny"], Limits(2, 0.0, tiny=True)),
        (["--tiny", "--rounds", "5"], Limits(5, 0.0, tiny=True)),
    ],
)
def test_how_much_is_measured(options, wanted):
    assert limits_of(parser().parse_args(options), LIMITS) == wanted


def test_other_processes_are_mentioned_where_they_were_busy():
    assert busy_notes([{"others": 0.01}, {"others": 0.05}]) == []
    assert busy_notes([]) == []
    (note,) = busy_notes([{"others": 0.01}, {"others": 0.312}], " (hint)")
    assert note.startswith("other processes took up to 31 % of the processors (hint)")


def test_without_a_folder_images_are_random_and_of_cifars_shape(monkeypatch):
    monkeypatch.delenv("FFDWV_DATA", raising=False)
    dataset = dataset_of(step_parser().parse_args([]))
    assert dataset.train.images.shape == (IMAGES, SIZE, SIZE, 3) == (50_000, 32, 32, 3)
    assert description(dataset) == "images: random, 50,000 of 32 x 32 x 3"
    assert 127 < dataset.train.images[:100].mean() < 128


@pytest.mark.parametrize("by_variable", [False, True])
def test_folder_without_cifar_is_refused_and_nothing_downloaded(tmp_path, monkeypatch, by_variable):
    monkeypatch.setenv("FFDWV_DATA", str(tmp_path))
    options = [] if by_variable else ["--data-dir", str(tmp_path)]
    with pytest.raises(InputError, match=re.escape(f"--data-dir {tmp_path}: no CIFAR-10 there")):
        dataset_of(step_parser().parse_args(options))
    assert list(tmp_path.iterdir()) == []


def test_folder_with_cifar_gives_all_of_it(tmp_path, monkeypatch):
    asked = []
    complete = random_dataset(3, 8)
    monkeypatch.setattr("benchmarks.images.resolve_dataset", lambda *_: ("cifar10", "found"))
    monkeypatch.setattr(
        "benchmarks.images.load_dataset", lambda *names: asked.append(names) or complete
    )
    options = step_parser().parse_args(["--data-dir", str(tmp_path)])
    assert dataset_of(options) is complete
    assert asked == [("cifar10", tmp_path)]
