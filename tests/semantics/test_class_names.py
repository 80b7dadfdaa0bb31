"""How class names are read."""

import numpy as np
import pytest
import torch
import vector_writers as writers

from ffdwv_fast.errors import InputError
from ffdwv_fast.semantics import class_vectors
from ffdwv_fast.semantics.names import readings, refuse_equal_vectors


@pytest.fixture
def vector_file(tmp_path):
    def write(vectors):
        path = tmp_path / "words.txt"
        path.write_bytes(writers.text_with_header(vectors))
        return path

    return write


ONE, TWO, THREE, FOUR = np.eye(4)[:, :3] + [[1], [2], [3], [4]]
MEAN = (TWO + THREE) / 2


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        ({"a-b": ONE, "a_b": FOUR, "a": TWO, "b": THREE}, ONE),
        ({"a_b": FOUR, "a": TWO, "b": THREE}, FOUR),
        ({"a": TWO, "b": THREE}, MEAN),
        ({"a": TWO, "b": THREE, "ab": ONE}, MEAN),
        ({"ab": ONE, "a b": FOUR, "a": TWO, "b": THREE}, MEAN),
    ],
    ids=["exact", "joined with _", "mean of the parts", "never ab", "never a b"],
)
def test_order_of_reading(held, expected, vector_file):
    got = class_vectors(["a-b"], vector_file(held))
    np.testing.assert_allclose(got[0], expected, rtol=1e-7)


def test_an_alias_goes_before_the_name_itself(vector_file):
    path = vector_file({"ray": ONE, "stingray": TWO})
    got = class_vectors(["ray"], path, aliases={"ray": "stingray"})
    np.testing.assert_array_equal(got[0], TWO)


@pytest.mark.parametrize("alias", ["sting ray", "sting_ray", "sting-ray"])
def test_an_alias_of_two_words_is_read_by_the_same_rule(alias, vector_file):
    path = vector_file({"x": ONE, "sting": TWO, "ray": THREE})
    np.testing.assert_array_equal(class_vectors(["x"], path, aliases={"x": alias})[0], MEAN)


def test_an_alias_that_the_source_lacks_does_not_fall_back_to_the_name(vector_file):
    with pytest.raises(InputError, match=r"1 of 1 class names: cat \(alias 'feline'\)"):
        class_vectors(["cat"], vector_file({"cat": ONE}), aliases={"cat": "feline"})


def test_a_name_is_never_reduced_to_its_head_word(vector_file):
    missing = r"2 of 2 class names: elm_tree \(no 'elm'\), ash_tree \(no 'ash'\);"
    with pytest.raises(InputError, match=missing):
        class_vectors(["elm_tree", "ash_tree"], vector_file({"tree": ONE}))


@pytest.mark.parametrize(
    ("name", "ways"),
    [
        ("cat", [("cat",)]),
        ("oak_tree", [("oak_tree",), ("oak", "tree")]),
        ("oak tree", [("oak tree",), ("oak_tree",), ("oak", "tree")]),
        ("T-shirt", [("T-shirt",), ("T_shirt",), ("T", "shirt")]),
        ("a-b_c d", [("a-b_c d",), ("a_b_c_d",), ("a", "b", "c", "d")]),
    ],
)
def test_ways_to_read_a_name(name, ways):
    assert readings(name) == ways


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        ({"Oak-Tree": ONE, "oak-tree": FOUR}, ONE),
        ({"oak-tree": ONE, "Oak_Tree": FOUR}, ONE),
        ({"Oak_Tree": ONE, "oak_tree": FOUR, "Oak": TWO, "Tree": THREE}, ONE),
        ({"oak_tree": ONE, "Oak": TWO, "Tree": THREE}, ONE),
        ({"Oak": TWO, "oak": FOUR, "tree": THREE}, MEAN),
        ({"oak": TWO, "tree": THREE}, MEAN),
    ],
)
def test_a_word_is_read_as_it_stands_else_in_lower_case(held, expected, vector_file):
    got = class_vectors(["Oak-Tree"], vector_file(held))
    np.testing.assert_allclose(got[0], expected, rtol=1e-7)


def test_a_name_in_lower_case_is_not_read_in_upper_case(vector_file):
    with pytest.raises(InputError, match="1 of 1 class names: cat;"):
        class_vectors(["cat"], vector_file({"Cat": ONE}))


def test_names_that_differ_in_case_alone_are_refused_where_the_source_has_one(vector_file):
    path = vector_file({"cat": ONE})
    with pytest.raises(InputError, match=r"'Cat' and 'cat' have the same vector.*--alias"):
        class_vectors(["Cat", "cat"], path)


@pytest.mark.parametrize(
    "name", ["Golden Retriever", "golden-retriever", "golden_retriever", "GOLDEN retriever"]
)
def test_however_a_name_is_written_the_bundled_words_are_found(name):
    golden, retriever = class_vectors(["golden", "retriever"])
    torch.testing.assert_close(class_vectors([name])[0], (golden + retriever) / 2)


def test_the_order_of_the_names_is_kept():
    forward, backward = class_vectors(["cat", "dog", "ship"]), class_vectors(["ship", "dog", "cat"])
    assert torch.equal(forward, backward.flip(0))
    assert forward.dtype == torch.float32
    assert forward.shape == (3, 50)


def test_all_missing_names_are_listed_with_every_way_out():
    with pytest.raises(InputError) as caught:
        class_vectors(["cat", "wugxq", "dog", "qqzx_tree", "Elephnat"], aliases={"dog": "dgoxq"})
    message = str(caught.value)
    for part in (
        "4 of 5 class names: wugxq, dog (alias 'dgoxq'), qqzx_tree (no 'qqzx'), Elephnat;",
        "--alias NAME=WORDS",
        'aliases={"NAME": "WORDS"}',
        "; bundled words of like spelling: elephant or elephants for Elephnat;",
        "30,000 words of GloVe 6B are bundled",
        "glove-wiki-gigaword-50",
        "--word-vectors",
    ):
        assert part in message
    assert "\n" not in message


def test_no_words_of_like_spelling_are_named_where_there_are_none():
    with pytest.raises(InputError) as caught:
        class_vectors(["n02123045", "wugxq"])
    assert "2 of 2 class names: n02123045, wugxq;" in str(caught.value)
    assert "spelling" not in str(caught.value)


def test_the_hint_to_other_sources_is_for_the_bundled_one_alone(vector_file):
    with pytest.raises(InputError) as caught:
        class_vectors(["wug"], vector_file({"cat": ONE}))
    assert "bundled" not in str(caught.value)


def test_two_names_with_one_vector_are_refused(vector_file):
    path = vector_file({"oak": ONE, "elm": TWO, "ship": ONE})
    with pytest.raises(InputError, match=r"'oak' and 'ship' have the same vector.*--alias"):
        class_vectors(["oak", "elm", "ship"], path)


def test_two_names_with_one_word_are_refused():
    with pytest.raises(InputError, match="'cat' and 'dog' have the same vector"):
        class_vectors(["cat", "dog"], aliases={"dog": "cat"})


def test_zero_and_minus_zero_are_the_same_vector():
    with pytest.raises(InputError, match="'a' and 'b' have the same vector"):
        refuse_equal_vectors(["a", "b"], np.array([[0.0, 1.0], [-0.0, 1.0]]), "words.txt")


BAD_NAMES = {
    "a bare string": ("cat", "the one string 'cat'"),
    "none": ([], "at least one"),
    "twice": (["cat", "dog", "cat", "dog", "ship"], "more than once: cat, dog$"),
    "empty": (["cat", ""], "class name '' is not a word"),
    "marks only": (["_-_"], "class name '_-_' is not a word"),
    "a number": ([7], "class name 7 is not a word"),
}


@pytest.mark.parametrize("case", BAD_NAMES)
def test_bad_names_are_refused(case):
    names, message = BAD_NAMES[case]
    with pytest.raises(InputError, match=message):
        class_vectors(names)


def test_an_alias_of_no_class_is_refused():
    with pytest.raises(InputError, match="no classes: dgo; the classes are cat, dog"):
        class_vectors(["cat", "dog"], aliases={"dgo": "wolf"})


@pytest.mark.parametrize("words", ["", " - ", None, 3])
def test_an_alias_without_words_is_refused(words):
    with pytest.raises(InputError, match="alias of class 'cat'"):
        class_vectors(["cat"], aliases={"cat": words})
