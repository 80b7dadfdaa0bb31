"""The file of aliases, and where it meets --alias."""

from argparse import ArgumentParser

import pytest

from ffdwv_fast.errors import InputError
from ffdwv_fast.semantics import class_vectors
from ffdwv_fast.semantics.alias_file import MOST_BYTES, read_alias_file
from ffdwv_fast.semantics.arguments import add_similarity_arguments, similarity_from_arguments

NAMES = ("n1", "n 2", "zero")


def written(tmp_path, content: bytes):
    path = tmp_path / "aliases.txt"
    path.write_bytes(content)
    return path


def similarity(names, *options):
    parser = ArgumentParser()
    add_similarity_arguments(parser)
    return similarity_from_arguments(parser.parse_args(list(map(str, options))), names)


@pytest.mark.parametrize(
    "content",
    [
        b"n1=great dane\nn 2=cat",
        b"\xef\xbb\xbf# ours\r\n\r\n  n 2 =  cat\r\n\tn1 = great dane  \r\n",
        b"n1 = great dane\n # n1 = dog\n\n\nn 2 = cat\n",
    ],
)
def test_lines_are_names_and_words(tmp_path, content):
    assert read_alias_file(written(tmp_path, content), NAMES) == {"n1": "great dane", "n 2": "cat"}


def test_words_may_have_an_equals_sign(tmp_path):
    assert read_alias_file(written(tmp_path, b"n1 = a = b"), NAMES) == {"n1": "a = b"}


BAD = {
    "no equals sign": (b"\nn1 dog\n", "line 2: 'n1 dog' is not NAME = WORDS"),
    "no name": (b"= dog\n", "line 1: '= dog' is not NAME = WORDS"),
    "no words": (b"n1 =\n", "line 1: 'n1 =' is not NAME = WORDS"),
    "no class": (b"# x\nn3 = dog\n", "line 2: 'n3' is no class; the classes are n1, n 2, zero;"),
    "a class twice": (b"n1 = dog\n\nn1 = cat", "line 3: class 'n1' has an alias in line 1 already"),
    "no text": (b"n1 = \xff", "cannot be read ("),
    "too much": (b"#" * (MOST_BYTES + 1), "it has more than 16,777,216 bytes"),
}


@pytest.mark.parametrize(("content", "expected"), BAD.values(), ids=BAD)
def test_a_line_that_is_none_is_named_with_its_number(tmp_path, content, expected):
    with pytest.raises(InputError) as error:
        read_alias_file(written(tmp_path, content), NAMES)
    assert expected in str(error.value)
    assert str(error.value).startswith(f"--alias-file {tmp_path / 'aliases.txt'}")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none.txt: cannot be read \(No such file or directory\)"):
        read_alias_file(tmp_path / "none.txt", NAMES)


def test_both_ways_together(tmp_path):
    path = written(tmp_path, b"n1 = dog\nn 2 = pine tree\n")
    result = similarity(NAMES, "--alias-file", path, "--alias", "zero=cat")
    assert result.aliases == {"zero": "cat", "n1": "dog", "n 2": "pine tree"}
    expected = class_vectors(["dog", "pine_tree", "cat"])
    assert (result.vectors == expected).all()
    with pytest.raises(InputError, match="both have an alias for 'n1': keep one"):
        similarity(NAMES, "--alias-file", path, "--alias", "n1=cat")


def test_all_classes_without_a_vector_are_named_with_what_to_do():
    with pytest.raises(InputError) as error:
        similarity(("n1", "cat", "n 2"))
    message = str(error.value)
    assert "no vector for 2 of 3 class names: n1, n 2 (no '2');" in message
    for remedy in ("--alias NAME=WORDS", "NAME = WORDS in --alias-file FILE", "a vector file"):
        assert remedy in message
