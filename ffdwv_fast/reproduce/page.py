"""Tables and pictures on one page, which several calls may share."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ffdwv_fast.errors import InputError

_ORIGIN = "Written by `python -m ffdwv_fast.reproduce`"
HEAD = f"""# Results

{_ORIGIN} from the summaries of the runs, and not to be edited:
the next call with this page writes its sections anew.
"""
_MARK = re.compile(r"^<!-- section: (.*) -->\n", re.MULTILINE)


class Section(NamedTuple):
    """A table or figure.

    Attributes:
        key: a line that tells what was asked for; a page has one section for each.
        text: Markdown, beginning with a headline.
        pictures: PNG files.
    """

    key: str
    text: str
    pictures: list[Path]


def as_page(sections: Sequence[Section], folder: Path, before: str = "") -> str:
    """The sections as one Markdown text.

    Args:
        sections: in their order.
        folder: of the page, from which the pictures are linked.
        before: the page as it was; its sections of other keys stay, in their places.
    """
    _, *pieces = _MARK.split(before)
    bodies = dict(zip(pieces[::2], pieces[1::2], strict=True))
    bodies |= {section.key: _body(section, folder) for section in sections}
    marked = [f"<!-- section: {key} -->\n{body}" for key, body in bodies.items()]
    return "\n".join([HEAD, *(f"{text.rstrip()}\n" for text in marked)])


def text_of(page: Path) -> str:
    """A page as it is; nothing where there is none yet.

    Raises:
        InputError: the file is not one that `as_page` made, and would be lost.
    """
    try:
        text = page.read_text() if page.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--page {page} cannot be read: {error}") from error
    if text and _ORIGIN not in text:
        raise InputError(
            f"--page {page} is not a page of this command's, and would be overwritten: name another"
        )
    return text


def _body(section: Section, folder: Path) -> str:
    links = [
        f"![{p.stem}]({Path(os.path.relpath(p, folder)).as_posix()})" for p in section.pictures
    ]
    return "\n".join([section.text, *(f"{link}\n" for link in links)])
