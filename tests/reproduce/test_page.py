"""A page that several calls share: each writes its own sections anew."""

import pytest

from ffdwv_fast.errors import InputError
from ffdwv_fast.reproduce.__main__ import main
from ffdwv_fast.reproduce.page import HEAD, Section, as_page

FIRST = Section("table2; digits", "## Table 2\n\n| 1 |\n", [])
SECOND = Section("controls; cifar10", "## Controls\n\n| 2 |\n", [])


def test_sections_come_in_order_with_their_pictures(tmp_path):
    picture = tmp_path / "runs" / "curve.png"
    page = as_page([FIRST._replace(pictures=[picture]), SECOND], tmp_path / "docs")
    assert page == (
        f"{HEAD}\n<!-- section: table2; digits -->\n## Table 2\n\n| 1 |\n\n"
        "![curve](../runs/curve.png)\n\n"
        "<!-- section: controls; cifar10 -->\n## Controls\n\n| 2 |\n"
    )


def test_the_same_call_leaves_the_page_as_it_is(tmp_path):
    page = as_page([FIRST, SECOND], tmp_path)
    assert as_page([FIRST, SECOND], tmp_path, page) == page
    assert as_page([SECOND], tmp_path, page) == page


def test_a_section_is_replaced_in_its_place_and_the_others_stay(tmp_path):
    before = as_page([FIRST, SECOND], tmp_path)
    page = as_page([FIRST._replace(text="## Table 2\n\n| 3 |\n")], tmp_path, before)
    assert page == before.replace("| 1 |", "| 3 |")


def test_a_new_section_comes_last(tmp_path):
    page = as_page([SECOND], tmp_path, as_page([FIRST], tmp_path))
    assert page == as_page([FIRST, SECOND], tmp_path)


@pytest.mark.parametrize("content", [b"# My notes\n", b"\xff\xfe"], ids=["text", "bytes"])
def test_a_file_that_is_no_such_page_is_refused_and_kept(tmp_path, content):
    page = tmp_path / "page.md"
    page.write_bytes(content)
    with pytest.raises(InputError, match="--page"):
        main(["table2", "--dataset", "digits", "--output", str(tmp_path), "--page", str(page)])
    assert page.read_bytes() == content
    assert list(tmp_path.iterdir()) == [page]
