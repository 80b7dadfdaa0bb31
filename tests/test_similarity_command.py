"""``python -m ffdwv_fast.similarity``."""

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ffdwv_fast import similarity
from ffdwv_fast.data.class_names import CIFAR10_CLASSES, CIFAR100_CLASSES, DIGITS_CLASSES
from ffdwv_fast.errors import InputError
from ffdwv_fast.semantics import class_vectors, distance_matrix, similarity_matrix

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("FFDWV_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def printed(capsys):
    """Runs the command and gives what it printed."""

    def run(*argv) -> str:
        similarity.main(list(map(str, argv)))
        return capsys.readouterr().out

    return run


def figure(text: str, label: str) -> float:
    return float(re.search(rf"^{label} +(?:mean )?([0-9.]+)", text, re.MULTILINE)[1])


def test_the_printed_matrix_is_s(printed):
    lines = printed("--dataset", "cifar10").splitlines()
    assert lines[0].split() == list(CIFAR10_CLASSES)
    rows = [line.split() for line in lines[1:11]]
    assert [row[0] for row in rows] == list(CIFAR10_CLASSES)
    expected = similarity_matrix(class_vectors(CIFAR10_CLASSES))
    got = np.array([row[1:] for row in rows], float)
    np.testing.assert_allclose(got, expected, atol=5.1e-5)


def test_the_printed_columns_are_aligned(printed):
    lines = printed("--dataset", "cifar10").splitlines()[:11]
    assert len({len(line) for line in lines}) == 1
    ends = [[match.end() for match in re.finditer(r"\S+", line)][-10:] for line in lines]
    assert all(line == ends[0] for line in ends)


def test_the_printed_figures(printed):
    text = printed("--dataset", "cifar10")
    assert figure(text, "classes") == 10
    assert figure(text, "temperature") == 1
    assert figure(text, "mean diagonal") == pytest.approx(0.9104, abs=1e-4)
    assert "distances         mean 5.3241, min 1.8846, max 7.7577" in text


def test_a_hundred_classes_are_summed_up_in_a_line_each(printed):
    lines = printed("--dataset", "cifar100").splitlines()
    matrix = similarity_matrix(class_vectors(CIFAR100_CLASSES))
    assert len(lines) < 110
    assert max(map(len, lines)) <= 100
    boy = CIFAR100_CLASSES.index("boy")
    order = matrix[boy].argsort(descending=True).tolist()
    expected = [f"{CIFAR100_CLASSES[j]} {matrix[boy, j]:.4f}" for j in order[:4]]
    assert re.split(r"  +", lines[1 + boy].strip()) == [
        "boy",
        expected[0].split()[1],
        *expected[1:],
    ]


@pytest.mark.parametrize(
    ("argv", "names"),
    [
        ([], CIFAR10_CLASSES),
        (["--dataset", "digits"], DIGITS_CLASSES),
        (["--dataset", "cifar10", "--classes", "cat,ship"], ("cat", "ship")),
        (["--classes", "cat, oak_tree,one"], ("cat", "oak_tree", "one")),
        (["--classes", "zebra,Golden-Retriever"], ("zebra", "Golden-Retriever")),
    ],
)
def test_which_classes_are_shown(argv, names, printed):
    assert tuple(printed(*argv).splitlines()[0].split()) == names


def test_one_class(printed):
    assert "cat 1.0000" in printed("--classes", "cat")


def test_auto_temperature_is_solved_and_reported(printed):
    text = printed("--dataset", "cifar100", "--temperature", "auto:0.8")
    assert figure(text, "mean diagonal") == 0.8
    solved = figure(text, "temperature")
    matrix = similarity_matrix(class_vectors(CIFAR100_CLASSES), temperature=solved)
    assert float(matrix.diagonal().mean()) == pytest.approx(0.8, abs=1e-5)


def test_every_option_reaches_the_saved_file(printed, tmp_path):
    source = tmp_path / "words.txt"
    source.write_text("cat 1 2\nwolf 2 1\nsea 5 -5\n")
    argv = ["--classes", "cat,dog,ship", "--word-vectors", source, "--metric", "cosine"]
    argv += ["--alias", "dog=wolf", "--alias", "ship=sea", "--temperature", "0.5"]
    printed(*argv, "--save", tmp_path / "s.npz")
    vectors = np.array([[1.0, 2], [2, 1], [5, -5]])
    with np.load(tmp_path / "s.npz", allow_pickle=False) as saved:
        assert saved["class_names"].tolist() == ["cat", "dog", "ship"]
        assert saved["metric"] == "cosine"
        assert saved["temperature"] == 0.5
        assert saved["source"] == str(source)
        np.testing.assert_array_equal(saved["distances"], distance_matrix(vectors, "cosine"))
        expected = similarity_matrix(vectors, "cosine", 0.5)
        np.testing.assert_array_equal(saved["similarity"], expected)
        assert saved["similarity"].dtype == np.float32


def test_csv_reads_back_equal_to_the_last_bit(printed, tmp_path):
    printed("--dataset", "cifar10", "--save", tmp_path / "s.csv")
    with open(tmp_path / "s.csv", newline="") as stream:
        header, *rows = csv.reader(stream)
    assert header == ["class", *CIFAR10_CLASSES]
    assert [row[0] for row in rows] == list(CIFAR10_CLASSES)
    got = torch.tensor([[float(value) for value in row[1:]] for row in rows])
    assert torch.equal(got, similarity_matrix(class_vectors(CIFAR10_CLASSES)))


@pytest.mark.parametrize(("dataset", "least_side"), [("cifar10", 900), ("cifar100", 2000)], ids=str)
def test_the_picture_shows_s(dataset, least_side, printed, tmp_path):
    from matplotlib.image import imread

    printed("--dataset", dataset, "--plot", tmp_path / "s.png")
    picture = imread(tmp_path / "s.png")[..., :3]
    assert min(picture.shape[:2]) >= least_side
    # viridis ends in this yellow, which only the diagonal (and the colour bar) has.
    yellow = np.abs(picture - np.array([0.993, 0.906, 0.144])).max(axis=2) < 0.12
    rows, columns = np.nonzero(yellow[:, : picture.shape[1] * 4 // 5])
    assert len(rows) > 0.001 * yellow.size
    assert np.corrcoef(rows, columns)[0, 1] > 0.98


@pytest.mark.parametrize(("suffix", "start"), [(".pdf", b"%PDF"), (".svg", b"<?xml")])
def test_other_picture_formats(suffix, start, printed, tmp_path):
    printed("--classes", "cat,dog", "--plot", tmp_path / f"s{suffix}")
    assert (tmp_path / f"s{suffix}").read_bytes().startswith(start)


def test_an_output_is_overwritten_and_nothing_else_is_left(printed, tmp_path):
    for _ in range(2):
        printed("--classes", "cat,dog", "--save", tmp_path / "s.npz", "--plot", tmp_path / "s.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.npz", "s.png"]


def test_a_write_that_fails_keeps_the_old_file(tmp_path, monkeypatch):
    (tmp_path / "s.npz").write_bytes(b"old")

    def full(stream, **arrays):
        stream.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(InputError, match="No space left"):
        similarity.main(["--classes", "cat,dog", "--save", str(tmp_path / "s.npz")])
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"s.npz": b"old"}


def test_a_new_file_has_the_usual_permissions(printed, tmp_path):
    printed("--classes", "cat,dog", "--save", tmp_path / "s.npz")
    umask = os.umask(0)
    os.umask(umask)
    assert (tmp_path / "s.npz").stat().st_mode & 0o777 == 0o666 & ~umask


BAD = {
    "data set": (["--dataset", "cifar11"], "invalid choice: 'cifar11'"),
    "class of another data set": (["--dataset", "cifar10", "--classes", "cat,cra"], "'cra' not"),
    "class without vector": (["--classes", "cat,wug,blick"], "2 of 3 class names: wug, blick;"),
    "class twice": (["--classes", "cat,dog,cat"], "more than once: cat"),
    "empty class": (["--classes", "cat,,dog"], "class name '' is not a word"),
    "alias without =": (["--alias", "cat"], "--alias 'cat' is not valid: expected NAME=WORDS"),
    "alias without words": (["--alias", "cat="], "--alias 'cat=' is not valid"),
    "alias twice": (["--alias", "cat=a", "--alias", "cat=b"], "class 'cat' two aliases"),
    "alias of no class": (["--alias", "dgo=wolf"], "no classes: dgo"),
    "metric": (["--metric", "manhattan"], "invalid choice: 'manhattan'"),
    "temperature": (["--temperature", "warm"], "temperature 'warm' is not valid"),
    "temperature of nought": (["--temperature", "0"], "temperature '0' is out of range"),
    "mean diagonal": (["--temperature", "auto:0.05"], "between 0.1 and 1"),
    "file": (["--word-vectors", "missing.bin"], "'missing.bin': there is no such file"),
    "picture format": (["--plot", "s.jpg"], "must end in .png or .pdf or .svg"),
    "table format": (["--save", "s.pkl"], "must end in .npz or .csv"),
    "no suffix": (["--save", "s"], "must end in .npz or .csv"),
    "folder": (["--save", "missing/s.npz"], "folder missing does not exist"),
    "unknown option": (["--tempreature", "1"], "unrecognized arguments"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused(case, tmp_path, monkeypatch, capsys):
    argv, message = BAD[case]
    monkeypatch.chdir(tmp_path)
    with pytest.raises((InputError, SystemExit)) as caught:
        similarity.main(argv)
    error = str(caught.value) if isinstance(caught.value, InputError) else capsys.readouterr().err
    assert message in error
    assert "\n" not in error.strip()
    assert list(tmp_path.iterdir()) == []


def test_bad_options_are_refused_before_a_large_file_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("ffdwv_fast.semantics.vector_files._read", None)
    (tmp_path / "words.txt").write_text("cat 1 2\n")
    argv = ["--word-vectors", str(tmp_path / "words.txt"), "--classes", "cat"]
    for bad in (["--temperature", "-1"], ["--save", "s.txt"], ["--alias", "cat"]):
        with pytest.raises(InputError, match=r"temperature|must end in|--alias"):
            similarity.main([*argv, *bad])


@pytest.mark.parametrize("case", ["class without vector", "metric"])
def test_the_process_ends_with_status_2_and_one_line(case):
    argv, message = BAD[case]
    done = subprocess.run(
        [sys.executable, "-m", "ffdwv_fast.similarity", *argv],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_process_ends_with_status_0_and_a_quiet_error_stream():
    done = subprocess.run(
        [sys.executable, "-m", "ffdwv_fast.similarity", "--classes", "cat,dog"],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "mean diagonal" in done.stdout
