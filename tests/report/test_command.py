"""The command: what it puts together, and what it refuses."""

import json
import shutil

import pytest

from ffdwv_fast.errors import InputError
from ffdwv_fast.report.__main__ import main
from ffdwv_fast.report.runs import grouped, read_runs


def test_unfinished_run_has_its_curves_and_is_said_to_be_unfinished(runs, tmp_path):
    page = tmp_path / "report.html"
    main([str(runs / "unfinished"), "-o", str(page), "--device", "cpu"])
    text = page.read_text()
    assert "seed 0 is unfinished: 1 of 2 epochs" in text
    assert '<h2 id="curves-title">' in text
    assert '<h2 id="classes-title">' not in text


def test_no_images_leaves_out_what_needs_them(runs, tmp_path):
    page = tmp_path / "report.html"
    main([str(runs / "seeds"), "-o", str(page), "--no-images", "--data-dir", str(tmp_path)])
    assert '<h2 id="costs-title">' in page.read_text()
    assert '<h2 id="mistakes-title">' not in page.read_text()


def test_runs_that_differ_in_the_seed_or_in_how_they_ran_are_one_group(runs, tmp_path):
    other = tmp_path / "seed7"
    shutil.copytree(runs / "seeds" / "seed0", other)
    config = json.loads((other / "config.json").read_text())
    config.update(seed=7, loader="gpu", workers=0, checkpoint_minutes=1.0)
    (other / "config.json").write_text(json.dumps(config))
    groups, _ = grouped(read_runs([runs / "seeds", runs / "validated", other]))
    assert [[r.config.seed for r in group.runs] for group in groups] == [[0, 1, 7], [0]]


def test_groups_are_told_apart_by_the_option_that_differs(runs, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(runs / "seeds" / "seed0", other)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "soft_weight": 0.5}))
    groups, _ = grouped(read_runs([runs / "seeds", other]))
    base = "ffdwv, resnet8 on digits, soft weight"
    assert [group.name for group in groups] == [f"{base} 1", f"{base} 0.5"]


def test_run_that_is_named_twice_counts_once(runs):
    assert len(read_runs([runs / "seeds", runs / "seeds" / "seed0"])) == 2


def test_copy_of_a_run_is_left_out_and_named(runs, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(runs / "seeds" / "seed0", copy)
    groups, notes = grouped(read_runs([runs / "seeds", copy]))
    assert [len(group.runs) for group in groups] == [2]
    assert str(copy) in notes[0]


def refused(*arguments) -> str:
    with pytest.raises(InputError) as caught:
        main([str(argument) for argument in arguments])
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_folder_that_is_no_run_is_refused(tmp_path):
    assert "is not a run" in refused(tmp_path, "-o", tmp_path / "r.html")
    assert "no such folder" in refused(tmp_path / "none", "-o", tmp_path / "r.html")


def test_run_of_another_version_is_refused(runs, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(runs / "seeds" / "seed0", other)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "of_the_future": 1}))
    assert "of_the_future" in refused(other, "-o", tmp_path / "r.html")


def test_images_that_are_not_there_are_refused_and_not_downloaded(runs, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(runs / "seeds" / "seed0", other)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "dataset": "cifar10"}))
    message = refused(other, "-o", tmp_path / "r.html", "--data-dir", tmp_path)
    assert "cifar10" in message
    assert "--data-dir" in message


@pytest.mark.parametrize("name", ["no-such-folder/report.html", "."])
def test_output_that_cannot_be_is_refused_before_anything_is_read(tmp_path, name):
    assert "--output" in refused(tmp_path / "no-run", "-o", tmp_path / name)
