"""A vector file that could hold code needs consent, and even then none of it is run."""

import os
import pickle

import numpy as np
import pytest
import vector_writers as writers

from ffdwv_fast.errors import InputError
from ffdwv_fast.semantics import class_vectors
from ffdwv_fast.semantics.vector_files import read_word_vectors


class _Trap:
    """Pickles as a call that creates a file."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.fixture
def sprung(tmp_path):
    return tmp_path / "sprung"


def _refused(path, message):
    with pytest.raises(InputError, match=message) as caught:
        read_word_vectors(path, list(writers.VECTORS), allow_pickle=True)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", list(filter(writers.is_pickle, writers.WRITERS)))
def test_every_pickle_needs_consent(name, tmp_path, monkeypatch):
    writers.WRITERS[name](tmp_path / name)
    monkeypatch.setattr("pickle.Unpickler", None)  # nor is it looked into
    monkeypatch.setattr("pickle.load", None)
    monkeypatch.setattr("pickle.loads", None)
    with pytest.raises(
        InputError, match=r"is a pickle.*any code: refused; .*--allow-pickle .*allow_pickle=True"
    ) as caught:
        class_vectors(["cat"], tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_trap_is_not_sprung_without_consent(tmp_path, sprung):
    (tmp_path / "a.kv").write_bytes(pickle.dumps(_Trap(os.mkdir, str(sprung))))
    with pytest.raises(InputError, match="is a pickle"):
        read_word_vectors(tmp_path / "a.kv", ["cat"])
    assert not sprung.exists()


def test_what_was_read_with_consent_comes_from_the_cache_without(tmp_path):
    writers.WRITERS["native.kv"](tmp_path / "a.kv")
    first = class_vectors(["cat"], tmp_path / "a.kv", allow_pickle=True)
    np.testing.assert_array_equal(class_vectors(["cat"], tmp_path / "a.kv"), first)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize(
    ("function", "named"), [(os.mkdir, "posix.mkdir"), (exec, r"(builtins|__builtin__).exec")]
)
def test_a_pickle_that_runs_code_is_refused_by_name(function, named, protocol, tmp_path, sprung):
    argument = str(sprung) if function is os.mkdir else f"open({str(sprung)!r}, 'w')"
    path = tmp_path / "a.kv"
    path.write_bytes(pickle.dumps(_Trap(function, argument), protocol=protocol))
    _refused(path, f"calls {named}, .*refused")
    assert not sprung.exists()


def test_code_hidden_in_an_attribute_of_true_keyed_vectors_is_refused(tmp_path, sprung):
    vectors = writers.keyed_vectors()
    vectors.lifecycle_events = [{"note": _Trap(os.mkdir, str(sprung))}]
    vectors.save(str(tmp_path / "a.kv"))
    _refused(tmp_path / "a.kv", "calls posix.mkdir")
    assert not sprung.exists()


def test_code_in_a_compressed_native_file_is_refused(tmp_path, sprung):
    vectors = writers.keyed_vectors()
    vectors.note = _Trap(os.mkdir, str(sprung))
    vectors.save(str(tmp_path / "a.kv.gz"))
    _refused(tmp_path / "a.kv.gz", "calls posix.mkdir")
    assert not sprung.exists()


@pytest.mark.parametrize("attribute", ["__scipys", "__recursive_saveloads"])
def test_a_second_pickle_beside_the_file_is_refused(attribute, tmp_path, sprung):
    vectors = writers.keyed_vectors()
    vectors.save(str(tmp_path / "a.kv"))
    vectors.__dict__[attribute] = ["trap"]
    (tmp_path / "a.kv").write_bytes(pickle.dumps(vectors))
    (tmp_path / "a.kv.trap.npy").write_bytes(pickle.dumps(_Trap(os.mkdir, str(sprung))))
    _refused(tmp_path / "a.kv", "further pickles")
    assert not sprung.exists()


def test_an_array_outside_the_folder_is_refused(tmp_path):
    vectors = writers.keyed_vectors()
    vectors.__dict__["__numpys"] = ["../vectors"]
    (tmp_path / "a.kv").write_bytes(pickle.dumps(vectors))
    _refused(tmp_path / "a.kv", "outside its folder")


def test_an_array_beside_the_file_that_is_a_pickle_is_refused(tmp_path, sprung):
    writers.WRITERS["native_mapped.kv"](tmp_path / "a.kv")
    trap = np.array([_Trap(os.mkdir, str(sprung))], dtype=object)
    np.save(tmp_path / "a.kv.vectors.npy", trap, allow_pickle=True)
    _refused(tmp_path / "a.kv", "cannot be read")
    assert not sprung.exists()


def test_a_codec_other_than_that_of_bytes_is_refused(tmp_path):
    (tmp_path / "a.kv").write_bytes(
        b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x03\x00\x00\x00zip\x86R."
    )
    _refused(tmp_path / "a.kv", "codec 'zip' is not needed")


def test_a_structured_array_type_is_refused(tmp_path):
    vectors = writers.keyed_vectors()
    vectors.note = np.zeros(2, [("a", "f4"), ("b", "O")])
    vectors.save(str(tmp_path / "a.kv"))
    _refused(tmp_path / "a.kv", "array type 'V12' is not needed")


def test_setting_attributes_of_a_class_is_refused(tmp_path):
    # BUILD on the class itself, with slot state: would replace a method of KeyedVectors.
    (tmp_path / "a.kv").write_bytes(
        b"\x80\x02cgensim.models.keyedvectors\nKeyedVectors\nN}U\x01xK\x01s\x86b."
    )
    _refused(tmp_path / "a.kv", "cannot be read")
    from gensim.models import KeyedVectors

    assert not hasattr(KeyedVectors, "x")


def test_a_whole_model_is_refused_with_the_way_out(tmp_path):
    from gensim.models import Word2Vec

    model = Word2Vec([["cat", "dog"]], vector_size=3, min_count=1)
    model.save(str(tmp_path / "a.model"))
    _refused(tmp_path / "a.model", "whole model.*save model.wv")


def test_the_word_vectors_of_a_whole_model_are_read(tmp_path):
    from gensim.models import Word2Vec

    model = Word2Vec([["cat", "dog"]], vector_size=3, min_count=1)
    model.wv.save(str(tmp_path / "a.kv"))
    found = read_word_vectors(tmp_path / "a.kv", ["cat"], allow_pickle=True)
    np.testing.assert_array_equal(found["cat"], model.wv["cat"])


def test_the_word_vectors_of_a_fasttext_model_are_read(tmp_path):
    from gensim.models import FastText

    model = FastText([["cat", "dog"]], vector_size=3, min_count=1, bucket=20)
    model.wv.save(str(tmp_path / "a.kv"))
    found = read_word_vectors(tmp_path / "a.kv", ["cat", "catty"], allow_pickle=True)
    assert found.keys() == {"cat"}
    np.testing.assert_array_equal(found["cat"], model.wv["cat"])


def test_a_pickle_of_something_else_is_refused(tmp_path):
    (tmp_path / "a.kv").write_bytes(pickle.dumps({"cat": [1, 2, 3]}))
    _refused(tmp_path / "a.kv", "no gensim KeyedVectors")


@pytest.mark.parametrize("damage", ["missing", "short", "fewer rows"])
def test_a_damaged_array_beside_the_file_is_refused(damage, tmp_path):
    writers.WRITERS["native_mapped.kv"](tmp_path / "a.kv")
    array = tmp_path / "a.kv.vectors.npy"
    if damage == "missing":
        array.unlink()
    elif damage == "short":
        array.write_bytes(array.read_bytes()[:-4])
    else:
        np.save(array, np.zeros((2, 3), np.float32))
    _refused(tmp_path / "a.kv", "cannot be read|words for vectors of shape")


@pytest.mark.parametrize("kept", range(2, 400, 23))
def test_a_native_file_cut_anywhere_is_refused(kept, tmp_path):
    writers.WRITERS["native.kv"](tmp_path / "a.kv")
    content = (tmp_path / "a.kv").read_bytes()
    (tmp_path / "a.kv").write_bytes(content[:kept])
    _refused(tmp_path / "a.kv", "cannot be read|cut off")
