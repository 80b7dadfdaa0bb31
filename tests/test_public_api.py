"""The reference of the public API is made of docstrings: they must say everything."""

import inspect
import re

import pytest

import ffdwv_fast

SECTIONS = ("Args", "Attributes", "Returns", "Raises")


def sections(doc: str) -> dict[str, str]:
    """The text below each heading."""
    parts = re.split(rf"^({'|'.join(SECTIONS)}):\n", inspect.cleandoc(doc), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def lacking(thing: object) -> list[str]:
    """What the docstring of a function or class leaves unsaid."""
    doc = thing.__doc__ or ""
    found = sections(doc)
    if not doc.strip():
        return ["docstring"]
    if inspect.isclass(thing) and "__init__" not in vars(thing):
        return []  # an exception: its arguments are Python's
    parameters = inspect.signature(thing).parameters
    named = found.get("Args", "") + found.get("Attributes", "")
    missing = [name for name in parameters if not re.search(rf"^ +{name}: ", named, re.MULTILINE)]
    if "Returns" not in found and not inspect.isclass(thing):
        missing.append("Returns")
    if parameters and not {"Raises", "Attributes"} & set(found):
        missing.append("Raises")
    return missing


@pytest.mark.parametrize("name", ffdwv_fast.__all__)
def test_docstring_says_what_goes_in_and_comes_out(name):
    assert lacking(getattr(ffdwv_fast, name)) == []


def test_what_is_lacking_is_found():
    def half(a, b):
        """Half.

        Args:
            a: the first.
        """

    def bare():
        pass

    assert lacking(half) == ["b", "Returns", "Raises"]
    assert lacking(bare) == ["docstring"]


def test_the_names_are_there():
    for name in ffdwv_fast.__all__:
        assert getattr(ffdwv_fast, name).__name__ == name


@pytest.mark.filterwarnings("error")
def test_the_reference_has_every_name():
    doc = pytest.importorskip("pdoc.doc")
    members = doc.Module(ffdwv_fast).members
    assert sorted(members) == sorted(ffdwv_fast.__all__)
    assert [name for name, member in members.items() if not member.docstring] == []
