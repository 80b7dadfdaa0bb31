"""Which runs are the same, and which count."""

import json
from dataclasses import asdict, replace

import pytest

from ffdwv_fast.errors import InputError
from ffdwv_fast.reproduce.store import collection, finished_runs, run_key
from tests.engine.test_parts import CONFIG

WORDS = {"source": "/here/v.bin", "metric": "euclidean", "mean_diagonal": 0.803111}


def leave_run(folder, config=CONFIG, error=5.0, finished=True):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(asdict(config)))
    if finished:
        (folder / "summary.json").write_text(json.dumps({"test_error": error}))
    return folder


@pytest.mark.parametrize(
    "change",
    [
        *({"seed": 8}, {"epochs": 3}, {"lr": 0.2}, {"amp": "bf16"}, {"method": "vanilla"}),
        *({"soft_weight": 0.5}, {"train_limit": 100}, {"validation": 10}, {"shortcut": "B"}),
        *({"similarity": WORDS}, {"loss_scale": 0.5}, {"weight_decay": 0.0}),
    ],
    ids=str,
)
def test_a_changed_configuration_is_another_run(change, tmp_path):
    leave_run(tmp_path / "old")
    assert run_key(replace(CONFIG, **change)) not in finished_runs([tmp_path])
    assert run_key(CONFIG) in finished_runs([tmp_path])


@pytest.mark.parametrize(
    "change",
    [
        *({"device": "cuda:1"}, {"data_dir": "/elsewhere"}, {"loader": "dali"}, {"workers": 4}),
        *({"compile": True}, {"cuda_graph": True}, {"without": ("weight-copies",)}),
        {"teacher_dir": "elsewhere"},
    ],
    ids=str,
)
def test_how_a_run_is_computed_does_not_make_it_another(change):
    assert run_key(replace(CONFIG, **change)) == run_key(CONFIG)


def test_a_vector_file_may_lie_elsewhere_but_not_give_another_matrix():
    here = replace(CONFIG, similarity=WORDS)
    there = replace(CONFIG, similarity={**WORDS, "source": "/there/v.bin"})
    other = replace(CONFIG, similarity={**WORDS, "mean_diagonal": 0.75})
    assert run_key(here) == run_key(there) != run_key(other)


def test_what_a_method_does_not_use_does_not_matter():
    vanilla = replace(CONFIG, method="vanilla")
    assert run_key(replace(vanilla, soft_weight=0.0)) == run_key(vanilla)


def test_folders_merge_and_the_first_of_equal_runs_counts(tmp_path):
    other = replace(CONFIG, seed=8)
    leave_run(tmp_path / "monday" / "deep" / "a", error=1.0)
    leave_run(tmp_path / "tuesday" / "a", error=2.0)
    leave_run(tmp_path / "tuesday" / "b", other, error=3.0)
    days = [tmp_path / "monday", tmp_path / "tuesday", tmp_path / "never"]
    errors = {key: run.summary["test_error"] for key, run in finished_runs(days).items()}
    assert errors == {run_key(CONFIG): 1.0, run_key(other): 3.0}
    assert finished_runs(days[1:])[run_key(CONFIG)].summary["test_error"] == 2.0


def test_an_unfinished_run_does_not_count(tmp_path):
    leave_run(tmp_path / "begun", finished=False)
    leave_run(tmp_path / ".teacher.part")
    leave_run(tmp_path / "ended", replace(CONFIG, seed=8))
    assert list(finished_runs([tmp_path])) == [run_key(replace(CONFIG, seed=8))]


def test_a_collection_holds_the_runs_but_their_weights(tmp_path):
    theirs = replace(CONFIG, seed=8, similarity=WORDS, data_dir="/here/data")
    for name, config in (("a", CONFIG), ("b", theirs)):
        (leave_run(tmp_path / name, config) / "metrics.jsonl").write_text('{"epoch": 1}\n')
    runs = finished_runs([tmp_path])
    file = tmp_path / "elsewhere.jsonl"
    file.write_text(collection(runs.values()))
    again = finished_runs([file])
    assert list(again) == list(runs) == [run_key(CONFIG), run_key(theirs)]
    for key, run in again.items():
        assert run.summary == runs[key].summary == {"test_error": 5.0}
        assert run.epochs() == runs[key].epochs() == [{"epoch": 1}]
    assert "/here" not in file.read_text()
    assert collection(again.values()) == file.read_text()


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:-20],
        lambda text: text.replace('"summary"', '"sum"'),
        lambda text: "[]\n",
        lambda text: "1\n",
        lambda text: '{"config": 1, "summary": {}, "epochs": []}\n',
        lambda text: '{"config": {}, "summary": [], "epochs": []}\n',
    ],
    ids=["cut off", "a part missing", "a list", "a number", "no configuration", "no summary"],
)
def test_a_damaged_collection_is_refused(damage, tmp_path):
    (leave_run(tmp_path / "a") / "metrics.jsonl").touch()
    file = tmp_path / "runs.jsonl"
    file.write_text(damage(collection(finished_runs([tmp_path]).values())))
    with pytest.raises(InputError, match=r"runs\.jsonl is no collection"):
        finished_runs([file])
