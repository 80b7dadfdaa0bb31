"""Where the teacher of a distillation comes from."""

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from ffdwv_fast import InputError, resnet8
from ffdwv_fast.data.dataset import Dataset, ImageSet
from ffdwv_fast.engine.run import Run, run
from ffdwv_fast.engine.run_folder import RunFolder
from ffdwv_fast.engine.teacher import load_teacher, teacher_weights
from tests.engine.resident import small_dataset
from tests.engine.test_parts import CONFIG

TEACHER = {"model": "resnet8", "file": None, "temperature": 4.0}


@pytest.fixture
def config(tmp_path):
    folder = str(tmp_path / "teachers")
    return replace(CONFIG, method="kd", epochs=1, teacher=TEACHER, teacher_dir=folder)


@pytest.fixture
def dataset() -> Dataset:
    return small_dataset()


class CountingTrain:
    """Stands in for a run: leaves what a complete one leaves, and counts."""

    def __init__(self):
        self.configs = []

    def __call__(self, config, dataset, similarity, out: Path) -> dict[str, object]:
        self.configs.append(config)
        out.mkdir(parents=True)
        (out / "model.safetensors").touch()
        (out / "summary.json").write_text("{}")
        return {}


def test_a_teacher_is_trained_once_and_serves_all_that_need_the_same(config, dataset):
    train = CountingTrain()
    weights = teacher_weights(config, dataset, train)
    for same in (
        config,
        replace(config, seed=9),
        replace(config, soft_weight=0.5, soft_weight_schedule="linear", loss_scale=0.5),
        replace(config, model="resnet20"),  # the student's
        replace(config, loader="dali", workers=2, compile=True),
    ):
        assert teacher_weights(same, dataset, train) == weights
    (trained,) = train.configs
    assert (trained.method, trained.model, trained.teacher) == ("vanilla", "resnet8", None)
    seen = [p for p in weights.parent.parent.iterdir() if not p.name.startswith(".")]
    assert seen == [weights.parent]


@pytest.mark.parametrize(
    "changes",
    [
        {"epochs": 2},
        {"lr": 0.3},
        {"shortcut": "B"},
        {"amp": "bf16"},
        {"teacher": {**TEACHER, "model": "resnet20"}},
        {"validation": 5},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_another_recipe_is_another_teacher(config, dataset, changes):
    train = CountingTrain()
    first = teacher_weights(config, dataset, train)
    assert teacher_weights(replace(config, **changes), dataset, train) != first
    assert len(train.configs) == 2


def test_other_images_are_another_teacher(config, dataset):
    train = CountingTrain()
    first = teacher_weights(config, dataset, train)
    images = dataset.train.images.copy()
    images[0, 0, 0, 0] ^= 1
    changed = replace(dataset, train=ImageSet(images, dataset.train.labels))
    assert teacher_weights(config, changed, train) != first
    fewer = replace(dataset, train=ImageSet(dataset.train.images[:-1], dataset.train.labels[:-1]))
    assert teacher_weights(config, fewer, train) != first


def test_a_teacher_has_not_seen_its_students_validation_images(config, dataset):
    train = CountingTrain()
    for seed in (3, 4):
        teacher_weights(replace(config, validation=5, seed=seed), dataset, train)
    assert [(c.validation, c.seed) for c in train.configs] == [(5, 3), (5, 4)]


@pytest.mark.parametrize("changes", [{}, {"compile": True}], ids=["same", "computed otherwise"])
def test_an_interrupted_teacher_is_gone_on_with(config, dataset, changes):
    begun = []

    def interrupted(teacher, _dataset, _similarity, out: Path):
        RunFolder(out, teacher)
        begun.append(out)
        raise KeyboardInterrupt

    def second(teacher, *args):
        again = args[-1]
        assert again == begun[0]
        assert (again / "config.json").exists() is not changes.get("compile", False)
        shutil.rmtree(again, ignore_errors=True)
        return CountingTrain()(teacher, *args)

    with pytest.raises(KeyboardInterrupt):
        teacher_weights(config, dataset, interrupted)
    assert teacher_weights(replace(config, **changes), dataset, second).exists()


def test_a_teacher_that_is_being_trained_is_waited_for(config, dataset, capsys):
    train, begun, may_end = CountingTrain(), threading.Event(), threading.Event()

    def slowly(*args):
        begun.set()
        assert may_end.wait(60)
        return train(*args)

    with ThreadPoolExecutor() as pool:
        first = pool.submit(teacher_weights, config, dataset, slowly)
        assert begun.wait(60)
        second = pool.submit(teacher_weights, config, dataset, train)
        while "teacher: waiting for another process" not in capsys.readouterr().out:
            assert not second.done()
        may_end.set()
        assert second.result() == first.result()
    assert len(train.configs) == 1


def test_a_student_begins_with_the_weights_of_every_method(config, dataset, tmp_path):
    def first_weights(method: str, name: str) -> dict[str, torch.Tensor]:
        one = Run(replace(config, method=method), dataset, None, tmp_path / name)
        one.close()
        return one.trainer.model.state_dict()

    plain = first_weights("vanilla", "a")
    for name in ("b", "c"):  # with a teacher trained first, and with one that is there
        student = first_weights("kd", name)
        assert all(torch.equal(student[key], plain[key]) for key in plain)


def test_a_student_is_taught_by_the_weights_of_the_file(config, dataset, tmp_path):
    run(replace(config, method="vanilla", seed=5), dataset, None, tmp_path / "teacher")
    file = tmp_path / "teacher" / "model.safetensors"
    student = Run(
        replace(config, teacher={**TEACHER, "file": str(file), "temperature": 3.0}),
        *(dataset, None, tmp_path / "student"),
    )
    student.close()
    method = student.trainer.method
    saved = load_file(file)
    assert all(torch.equal(saved[key], t) for key, t in method.teacher.state_dict().items())
    assert method.temperature == 3.0
    assert not (tmp_path / "teachers").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        (b"not weights", r"cannot be read .*take another file"),
        ({"fc.weight": torch.zeros(3, 3)}, "not of the network and classes expected"),
    ],
    ids=["missing", "no weights", "another network's"],
)
def test_a_file_that_is_no_teacher_is_refused(tmp_path, content, message):
    file = tmp_path / "teacher.safetensors"
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content is not None:
        save_file(content, file)
    with pytest.raises(InputError, match=message) as refusal:
        load_teacher(resnet8(10, in_channels=1), file)
    assert len(str(refusal.value).splitlines()) == 1
