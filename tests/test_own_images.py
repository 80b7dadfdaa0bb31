"""Your own images, from a folder to a report, by the commands that the README names."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from ffdwv_fast import (
    class_vectors,
    evaluate,
    export,
    predict,
    similarity,
    similarity_matrix,
    train,
)
from ffdwv_fast.data.cifar import load_cifar
from ffdwv_fast.data.folder_layout import read_layout
from ffdwv_fast.data.image_file import read_image
from ffdwv_fast.data.reading import Reading
from ffdwv_fast.data.registry import load_dataset
from ffdwv_fast.data.traits import ImageTraits
from ffdwv_fast.engine.trained import load_trained
from ffdwv_fast.report import __main__ as report
from tests.data.folders import digit_folder, write_classes

WORDS = ("zero", "one", "two", "three", "four")
SIDE = 16
SMALL = ("--model", "resnet8", "--device", "cpu", "--image-size", str(SIDE), "--no-flip")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Handwritten digits in five class folders: 250 to train on and 50 to evaluate on."""
    return digit_folder(tmp_path_factory.mktemp("digits"), WORDS, 50, 10)


@pytest.fixture(scope="module")
def run(images, tmp_path_factory):
    """A run on them; Pillow decodes, as predict does."""
    return trained_on(
        images,
        tmp_path_factory.mktemp("runs") / "run",
        *("--epochs", "4", "--decoder", "pillow", "--temperature", "auto:0.7"),
    )


def trained_on(images, out, *options):
    folder = ("--dataset", "folder", "--data-dir", images)
    train.main([str(word) for word in (*folder, *SMALL, "--out", out, *options)])
    return out


def content(folder, name):
    return json.loads((folder / f"{name}.json").read_text())


def logits_of(run, paths):
    """What the network says of files, by `read_image` and the statistics of the configuration."""
    network = load_trained(run, torch.device("cpu")).network
    record = content(run, "config")["images"]
    pixels = np.stack([read_image(path, (3, SIDE, SIDE)) for path in paths]).astype(np.float32)
    normalised = (pixels / 255 - np.float32(record["mean"])) / np.float32(record["std"])
    with torch.no_grad():
        return network(torch.from_numpy(normalised).permute(0, 3, 1, 2)).numpy()


def test_it_learns_and_keeps_what_is_needed_without_the_images(run, images):
    config, summary = content(run, "config"), content(run, "summary")
    assert 0 < summary["test_error"] < 60  # chance: 80; seen: 24
    assert summary["skipped_images"] == 0
    record = config["images"]
    assert record["class_names"] == sorted(WORDS)
    assert record["shape"] == [3, SIDE, SIDE]
    assert (record["decoder"], record["flip"], record["files"]) == ("pillow", False, 300)
    assert record["fingerprint"] == read_layout(images).fingerprint()
    dataset = load_dataset("folder", images)
    assert record["mean"] == pytest.approx(dataset.mean, abs=0.02)


def test_evaluate_gives_the_numbers_of_the_summary(run, tmp_path):
    evaluate.main([str(run), "--device", "cpu", "--json", str(tmp_path / "test.json")])
    found, summary = content(tmp_path, "test"), content(run, "summary")
    assert found["images"] == 50
    for name in ("error", "nll", "ece", "confusion_correlation"):
        assert found[name] == summary[f"test_{name}"]
    options = ("--split", "train", "--device", "cpu", "--json", str(tmp_path / "train.json"))
    evaluate.main([str(run), *options])
    assert content(tmp_path, "train")["images"] == 250


def test_predict_sees_files_as_training_did(run, images, capsys):
    paths = sorted((images / "val").glob("*/*"))
    capsys.readouterr()
    predict.main([str(run), *map(str, paths), "--device", "cpu", "--json"])
    found = json.loads(capsys.readouterr().out)
    right = [
        one["predictions"][0]["class"] == path.parent.name
        for path, one in zip(paths, found, strict=True)
    ]
    assert 100 * (1 - np.mean(right)) == pytest.approx(content(run, "summary")["test_error"])


def test_an_exported_file_knows_the_classes_and_takes_pixels(run, images, tmp_path):
    file = tmp_path / "net.pt2"
    export.main([str(run), "--format", "pt2", "--out", str(file), "--with-normalisation"])
    assert content(tmp_path, "net.pt2")["class_names"] == sorted(WORDS)
    paths = sorted((images / "val").glob("*/*"))[:7]
    pixels = torch.from_numpy(np.stack([read_image(path, (3, SIDE, SIDE)) for path in paths]))
    logits = torch.export.load(file).module()(pixels).detach().numpy()
    np.testing.assert_allclose(logits, logits_of(run, paths), atol=1e-4)


def test_a_report_shows_the_classes_and_the_error(run, tmp_path):
    page = tmp_path / "report.html"
    report.main([str(run), "-o", str(page), "--device", "cpu"])
    text = page.read_text()
    assert all(f">{word}<" in text for word in WORDS)
    assert f"{content(run, 'summary')['test_error']:.2f}" in text
    assert content(run, "config")["images"]["fingerprint"] in text


def test_images_may_move_and_the_run_goes_without_them(run, images, tmp_path, refused, capsys):
    alone = shutil.copytree(run, tmp_path / "run")
    config = content(alone, "config")
    gone = {**config, "data_dir": str(tmp_path / "gone")}
    (alone / "config.json").write_text(json.dumps(gone))
    predict.main([str(alone), str(images / "val/one/050.webp"), "--device", "cpu"])
    for main, options in (
        (evaluate.main, ()),
        (export.main, ("--format", "pt2", "--out", tmp_path / "net.pt2")),
        (report.main, ("-o", tmp_path / "report.html")),
    ):
        line = refused(main, alone, *options)
        assert f"--data-dir: {tmp_path / 'gone'} cannot be read (No such file" in line
    evaluate.main([str(alone), "--device", "cpu", "--data-dir", str(images)])
    out, err = capsys.readouterr()
    assert f" {content(run, 'summary')['test_error']:.2f} %" in out
    assert err == ""


def test_a_folder_of_other_classes_is_refused_and_the_difference_named(run, tmp_path, refused):
    write_classes(tmp_path / "a", dict.fromkeys(("zero", "one", "two", "three", "nine"), 2))
    write_classes(tmp_path / "b", dict.fromkeys(("zero", "one", "two"), 2))
    for place, expected in (
        ("a", "class 0 is 'nine', the run's 'four' (it lacks 'four'; it adds 'nine')"),
        ("b", "has 3 classes, the run's network 5 (it lacks 'four', 'three')"),
    ):
        line = refused(evaluate.main, run, "--data-dir", tmp_path / place)
        assert f"--data-dir {tmp_path / place}" in line
        assert expected in line
    out = ("--format", "pt2", "--out", tmp_path / "net.pt2")
    assert "has 3 classes" in refused(export.main, run, *out, "--data-dir", tmp_path / "b")
    out = ("-o", tmp_path / "report.html")
    assert "has 3 classes" in refused(report.main, run, *out, "--data-dir", tmp_path / "b")
    line = refused(evaluate.main, run, "--dataset", "digits")
    assert "--dataset digits has 10 classes, the run's network 5 (it adds 'five'" in line


def test_other_images_of_the_same_classes_are_evaluated_and_that_is_said(run, tmp_path, capsys):
    write_classes(tmp_path / "train", dict.fromkeys(WORDS, 1))
    write_classes(tmp_path / "val", dict.fromkeys(WORDS, 3), seed=10)
    evaluate.main([str(run), "--data-dir", str(tmp_path), "--device", "cpu"])
    out, err = capsys.readouterr()
    assert "on 15 test images of folder" in out
    assert f"warning: {tmp_path} has other files than the run's (300 then, 20 now)" in err


def test_a_run_does_not_go_on_with_other_images(run, images, tmp_path, refused):
    begun, other = tmp_path / "run", shutil.copytree(images, tmp_path / "images")
    shutil.copytree(run, begun)
    (begun / "summary.json").unlink()
    command = content(begun, "command")
    command[command.index("--data-dir") + 1] = str(other)
    (begun / "command.json").write_text(json.dumps(command))
    shutil.copy(other / "train/one/000.jpg", other / "train/one/000a.jpg")
    line = refused(train.main, "--resume", begun)
    assert "(images mean [" in line or "(images files 300 there, 301 here" in line
    assert "images fingerprint" in line
    (other / "train/one/000a.jpg").unlink()
    train.main(["--resume", str(begun)])
    assert content(begun, "summary")["test_error"] == content(run, "summary")["test_error"]


def test_names_that_are_no_words_need_aliases(images, tmp_path, refused):
    folder = shutil.copytree(images, tmp_path / "images")
    for part in ("train", "val"):
        for number, word in enumerate(WORDS):
            (folder / part / word).rename(folder / part / f"n0{number}")
    options = ("--dataset", "folder", "--data-dir", folder, *SMALL, "--out", tmp_path / "run")
    line = refused(train.main, *options)
    assert "no vector for 5 of 5 class names: n00, n01, n02, n03, n04; give other words" in line
    assert not (tmp_path / "run").exists()
    file = tmp_path / "aliases.txt"
    file.write_text("".join(f"n0{number} = {word}\n" for number, word in enumerate(WORDS)))
    run = trained_on(folder, tmp_path / "run", "--alias-file", file, "--epochs", "1")
    config = content(run, "config")
    assert config["similarity"]["aliases"] == [f"n0{n}={w}" for n, w in enumerate(WORDS)]
    file.unlink()
    evaluate.main([str(run), "--device", "cpu", "--json", str(tmp_path / "found.json")])
    expected = content(run, "summary")["test_confusion_correlation"]
    assert content(tmp_path, "found")["confusion_correlation"] == expected


def test_similarity_prints_s_of_the_class_folders(images, capsys):
    similarity.main(["--dataset", "folder", "--data-dir", str(images)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == sorted(WORDS)
    expected = similarity_matrix(class_vectors(sorted(WORDS)))
    got = np.array([line.split()[1:] for line in lines[1:6]], dtype=float)
    np.testing.assert_allclose(got, expected, atol=5.1e-5)


def test_the_options_of_folders_are_for_folders(images, tmp_path, refused):
    for option in (("--image-size", "32"), ("--no-flip",), ("--decoder", "pillow")):
        line = refused(train.main, "--dataset", "digits", *option)
        assert f"{' '.join(option)} is for --dataset folder; name both or neither" in line
    folder = ("--dataset", "folder", "--data-dir", images, "--out", tmp_path / "run")
    line = refused(train.main, *folder, "--image-size", "4")
    assert "image size 4: expected 8 to 1024 pixels" in line


def test_several_seeds_with_some_images_held_out(images, tmp_path):
    options = ("--seeds", "0,1", "--epochs", "1", "--train-limit", "60", "--validation", "20")
    out = trained_on(images, tmp_path / "runs", *options)
    assert content(out, "summary")["skipped_images"] == 0
    assert content(out, "summary")["validation_error"]["n"] == 2
    found = tmp_path / "found.json"
    evaluate.main([str(out / "seed1"), "--device", "cpu", "--json", str(found)])
    assert (
        content(tmp_path, "found")["error"] == content(out / "seed1", "summary")["validation_error"]
    )


def damaged(**values) -> dict[str, object]:
    traits = ImageTraits(("a", "b"), (3, 8, 8), (0.5, 0.5, 0.5), (0.2, 0.2, 0.2))
    return {**traits.as_record(), **values}


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (None, "images are not described"),
        ([1], "images are not described"),
        (damaged(class_names="ab"), "class_names 'ab' is not a list"),
        (damaged(class_names=["a", 1]), "class_names are not different words"),
        (damaged(class_names=["a", "a"]), "class_names are not different words"),
        (damaged(shape=[3, 8]), "shape [3, 8] is not three numbers above 0"),
        (damaged(shape=[3, 8, -8]), "is not three numbers above 0"),
        (damaged(shape=[3, 8.0, True]), "is not three numbers above 0"),
        (damaged(mean=[0.5]), "mean [0.5] is not a number for each channel"),
        (damaged(mean=[0.5, "x", 0.5]), "is not a number for each channel"),
        (damaged(std=[0.2, 0.0, 0.2]), "std [0.2, 0.0, 0.2] is not a number for each channel"),
        ({}, "class_names None is not a list"),
    ],
)
def test_a_configuration_that_does_not_describe_its_images_is_refused(
    run, tmp_path, refused, record, expected
):
    copy = shutil.copytree(run, tmp_path / "copy")
    (copy / "config.json").write_text(json.dumps({**content(run, "config"), "images": record}))
    line = refused(predict.main, copy, "image.jpg", "--device", "cpu")
    assert "the run's config.json does not describe its images: " in line
    assert expected in line


def test_images_of_cifar_as_files_are_those_of_its_arrays(cifar_dir, tmp_path, capsys):
    """PNG files of the size asked for: nothing may change on the way."""
    whole = load_cifar("cifar10", cifar_dir)
    names = ("cat", "dog", "frog", "ship", "truck")
    arrays = {}
    for part, data, count in (("train", whole.train, 100), ("val", whole.test, 20)):
        for name in names:
            images = data.images[data.labels == whole.class_names.index(name)][:count]
            arrays.setdefault(part, []).append(images)
            (tmp_path / part / name).mkdir(parents=True)
            for number, image in enumerate(images):
                Image.fromarray(image).save(tmp_path / part / name / f"{number:03}.png")
    dataset = load_dataset("folder", tmp_path, Reading(image_size=32))
    np.testing.assert_array_equal(dataset.train.images, np.concatenate(arrays["train"]))
    np.testing.assert_array_equal(dataset.test.images, np.concatenate(arrays["val"]))
    out = tmp_path / "run"
    options = ("--image-size", "32", "--epochs", "1", "--model", "resnet8", "--device", "cpu")
    train.main(["--dataset", "folder", "--data-dir", str(tmp_path), *options, "--out", str(out)])
    evaluate.main([str(out), "--device", "cpu"])
    assert f" {content(out, 'summary')['test_error']:.2f} %" in capsys.readouterr().out
