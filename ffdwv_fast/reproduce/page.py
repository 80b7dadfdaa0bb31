"""All tables and pictures on one page."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

HEAD = """# Results

Written by `python -m ffdwv_fast.reproduce` from the summaries of the runs, and not to be edited:
the next call writes it anew.
"""


class Section(NamedTuple):
    """A table or figure.

    Attributes:
        text: Markdown, beginning with a headline.
        pictures: PNG files.
    """

    text: str
    pictures: list[Path]


def as_page(sections: Sequence[Section], folder: Path) -> str:
    """The sections as one Markdown text.

    Args:
        sections: in their order.
        folder: of the page, from which the pictures are linked.
    """
    parts = [HEAD]
    for section in sections:
        links = [
            f"![{p.stem}]({Path(os.path.relpath(p, folder)).as_posix()})" for p in section.pictures
        ]
        parts += [section.text, *(f"{link}\n" for link in links)]
    return "\n".join(parts)
