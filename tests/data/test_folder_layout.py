"""Where the images of a folder are, and what is no such folder."""

import os
import re

import pytest

from ffdwv_fast.data.folder_layout import read_layout
from ffdwv_fast.errors import InputError


def touch(folder, *names: str) -> None:
    """Files of a byte; nothing here opens them."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def named(files) -> list[tuple[str, int]]:
    return [(file.name, file.label) for file in files]


def refusal(folder) -> str:
    with pytest.raises(InputError) as error:
        read_layout(folder)
    message = str(error.value)
    assert "\n" not in message
    return message


def test_train_and_val_hold_a_folder_for_each_class(tmp_path):
    touch(tmp_path, "train/dog/b.jpg", "train/dog/a.PNG", "train/cat/c.jpeg", "train/cat/d.webp")
    touch(tmp_path, "val/cat/a.jpg", "val/dog/a.jpg")
    layout = read_layout(tmp_path)
    assert layout.class_names == ("cat", "dog")
    assert named(layout.train) == [
        *(("train/cat/c.jpeg", 0), ("train/cat/d.webp", 0)),
        *(("train/dog/a.PNG", 1), ("train/dog/b.jpg", 1)),
    ]
    assert named(layout.test) == [("val/cat/a.jpg", 0), ("val/dog/a.jpg", 1)]
    assert [file.path for file in layout.test] == [
        tmp_path / "val/cat/a.jpg",
        tmp_path / "val/dog/a.jpg",
    ]


def test_test_is_taken_where_there_is_no_val(tmp_path):
    touch(tmp_path, "train/cat/a.jpg", "train/dog/a.jpg", "test/cat/b.jpg", "test/dog/b.jpg")
    assert named(read_layout(tmp_path).test) == [("test/cat/b.jpg", 0), ("test/dog/b.jpg", 1)]
    touch(tmp_path, "val/dog/c.jpg")
    layout = read_layout(tmp_path)
    assert named(layout.test) == [("val/dog/c.jpg", 1)]
    assert "1 to evaluate on (in val/); none to evaluate on of cat;" in layout.description()


@pytest.mark.parametrize("part", ["train/", ""])
def test_without_either_one_in_five_of_each_class_is_held_out(tmp_path, part):
    for name, count in (("cat", 50), ("dog", 11), ("fox", 2), ("owl", 9)):
        touch(tmp_path, *(f"{part}{name}/{number}.jpg" for number in range(count)))
    layout = read_layout(tmp_path)
    held_out = [sum(file.label == label for file in layout.test) for label in range(4)]
    assert held_out == [10, 2, 1, 1]
    every = {file.name for file in (*layout.train, *layout.test)}
    assert len(every) == len(layout.train) + len(layout.test) == 72
    assert read_layout(tmp_path) == layout
    numbers = [int(file.path.stem) for file in layout.test if file.label == 0]
    assert sorted(numbers) != list(range(10))  # drawn, not the first
    assert "one in 5 of each class" in layout.description()


def test_what_is_held_out_depends_on_the_names_alone(tmp_path):
    for place in ("here", "there"):
        for name in ("cat", "dog"):
            touch(tmp_path / place, *(f"{name}/{number}.jpg" for number in range(20)))
    here, there = (read_layout(tmp_path / place) for place in ("here", "there"))
    assert named(here.test) == named(there.test)
    assert here.fingerprint() == there.fingerprint()


def test_a_class_may_be_called_train(tmp_path):
    touch(tmp_path, *(f"{name}/{i}.jpg" for name in ("bus", "train") for i in range(5)))
    assert read_layout(tmp_path).class_names == ("bus", "train")


def test_hidden_files_other_kinds_and_further_folders_are_passed_over_and_counted(tmp_path):
    touch(tmp_path, "train/cat/a.jpg", "train/dog/a.jpg", "val/cat/a.jpg", "val/dog/a.jpg")
    layout = read_layout(tmp_path)
    assert "ignored" not in layout.description()
    passed_over = (
        *("readme.txt", ".DS_Store", "photos/a.jpg", "train/labels.csv", "train/a.jpg"),
        *("train/.cache/a.jpg", "train/cat/a.gif", "train/cat/.a.jpg", "train/cat/more/b.jpg"),
        *("train/cat/jpg", "val/x.png", "val/dog/Thumbs.db"),
    )
    touch(tmp_path, *passed_over)
    other = read_layout(tmp_path)
    assert (other.train, other.test) == (layout.train, layout.test)
    assert other.description().endswith(f"; ignored: {len(passed_over)} other files and folders")


def test_links_are_followed_and_loops_are_left_to_the_decoder(tmp_path):
    touch(tmp_path, "real/a.jpg", "set/train/dog/a.jpg", "set/val/dog/a.jpg")
    (tmp_path / "set/train/cat").symlink_to(tmp_path / "real")
    loop = tmp_path / "set/train/dog/loop.jpg"
    loop.symlink_to(loop)
    (tmp_path / "set/train/dog/up").symlink_to(tmp_path / "set/train")
    layout = read_layout(tmp_path / "set")
    assert [(f.name, f.size) for f in layout.train] == [
        *(("train/cat/a.jpg", 1), ("train/dog/a.jpg", 1), ("train/dog/loop.jpg", 0)),
    ]


def test_the_fingerprint_tells_names_and_sizes(tmp_path):
    touch(tmp_path, *(f"{name}/{i}.jpg" for name in ("cat", "dog") for i in range(5)))
    seen = {read_layout(tmp_path).fingerprint()}
    (tmp_path / "cat/0.jpg").write_bytes(b"xy")
    seen.add(read_layout(tmp_path).fingerprint())
    (tmp_path / "cat/0.jpg").rename(tmp_path / "cat/00.jpg")
    seen.add(read_layout(tmp_path).fingerprint())
    (tmp_path / "dog/1.jpg").unlink()
    seen.add(read_layout(tmp_path).fingerprint())
    touch(tmp_path, "notes.txt")
    assert read_layout(tmp_path).fingerprint() in seen
    assert len(seen) == 4


BAD = {
    "nothing in it": ((), "no class folders are found; expected DIR/train/CLASS/*.jpg and DIR/val"),
    "images without class folders": (("a.jpg", "b.jpg"), "no class folders are found"),
    "train without class folders": (("train/a.jpg", "val/b.jpg"), "no class folders are found"),
    "no train": (("val/cat/a.jpg", "val/dog/a.jpg"), "no class folders are found"),
    "one class": (
        ("train/cat/a.jpg", "train/cat/b.jpg"),
        "has one class folder, cat, and training",
    ),
    "one class folder": (("cat/a.jpg", "cat/b.jpg"), "has one class folder, cat, and training"),
    "a class without images": (
        ("train/cat/a.jpg", "train/dog/a.txt", "val/cat/a.jpg"),
        "train/dog has no images (.jpg, .jpeg, .png, .webp); add some, or remove it",
    ),
    "a tested class without images": (
        ("train/cat/a.jpg", "train/dog/a.jpg", "val/dog/a.txt", "val/cat/a.jpg"),
        "val/dog has no images",
    ),
    "a class that is not trained on": (
        ("train/cat/a.jpg", "train/dog/a.jpg", "val/cat/a.jpg", "val/fox/a.jpg"),
        "train lacks: 'fox'; add images to train on, or remove them",
    ),
    "val without classes": (
        ("train/cat/a.jpg", "train/dog/a.jpg", "val/a.jpg"),
        "no class folders",
    ),
    "a class with an image": (
        ("train/cat/a.jpg", "train/dog/a.jpg", "train/dog/b.jpg"),
        "class 'cat' in ",
    ),
    "a name that cannot be printed": (("a\nb/a.jpg", "cat/a.jpg"), r"class folder 'a\nb' in"),
}


@pytest.mark.parametrize(("files", "expected"), BAD.values(), ids=BAD)
def test_a_folder_that_is_laid_out_otherwise_is_refused(tmp_path, files, expected):
    touch(tmp_path, *files)
    assert expected in refusal(tmp_path)


def test_a_name_that_is_no_text_is_refused(tmp_path):
    touch(tmp_path, "cat/a.jpg")
    os.mkdir(os.fsencode(tmp_path) + b"/\xff")
    assert r"class folder '\udcff'" in refusal(tmp_path)


def test_a_folder_that_cannot_be_read_is_named(tmp_path):
    touch(tmp_path, "file")
    assert re.search(
        r"none cannot be read \(No such file.*expected DIR", refusal(tmp_path / "none")
    )
    assert "file cannot be read (Not a directory)" in refusal(tmp_path / "file")
