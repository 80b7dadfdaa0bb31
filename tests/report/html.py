"""A page read by Python's own parser."""

from html.parser import HTMLParser
from typing import NamedTuple

VOID = {"br", "hr", "img", "input", "link", "meta"}


class Element(NamedTuple):
    """An element: its name and attributes."""

    tag: str
    attributes: dict[str, str | None]


class Page(HTMLParser):
    """Elements and tables of a page; AssertionError where an end tag closes another element.

    Attributes:
        elements: in their order.
        rows: of each table the texts of its cells, by the table's caption.
    """

    def __init__(self, text: str):
        super().__init__()
        self.elements: list[Element] = []
        self.rows: dict[str, list[list[str]]] = {}
        self._open: list[str] = []
        self._texts: list[str] | None = None
        self._caption = ""
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        if tag in VOID:
            return
        self._open.append(tag)
        if tag == "tr":
            self.rows[self._caption].append([])
        if tag in ("td", "th", "caption"):
            self._texts = []

    def handle_startendtag(self, tag, attrs):
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), f"<{tag}> has an attribute twice"
        self.elements.append(Element(tag, dict(attrs)))

    def handle_data(self, data):
        if self._texts is not None:
            self._texts.append(data)

    def handle_endtag(self, tag):
        assert self._open, f"</{tag}> closes nothing"
        assert self._open.pop() == tag, f"</{tag}> closes another element"
        if tag not in ("td", "th", "caption"):
            return
        text = " ".join("".join(self._texts).split())
        self._texts = None
        if tag == "caption":
            self._caption = text
            self.rows.setdefault(text, [])
        else:
            self.rows[self._caption][-1].append(text)

    def table(self, words: str) -> list[list[str]]:
        """The rows of the one table whose caption has these words."""
        (found,) = [rows for caption, rows in self.rows.items() if words in caption]
        return found

    def named(self, *tags: str) -> list[Element]:
        """The elements of these names."""
        return [element for element in self.elements if element.tag in tags]
