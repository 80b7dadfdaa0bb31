"""matplotlib's figures as SVG inside a page."""

import io
import re
from collections.abc import Callable
from itertools import count
from textwrap import fill
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.axes import Axes

_STYLE = {
    "svg.hashsalt": "ffdwv_fast",  # the same figure, the same bytes
    "svg.fonttype": "none",  # text stays text: smaller, and it can be searched
    "font.sans-serif": ["DejaVu Sans", "Verdana"],
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


_LINE = 52  # characters of a chart's width


def wrapped(text: str) -> str:
    """A text in lines that fit a chart."""
    return fill(text, _LINE)


class Pictures:
    """Makes SVGs whose ids do not collide on their page."""

    def __init__(self):
        self._numbers = count(1)

    def chart(
        self, plot: Callable[["Axes"], object], size: tuple[float, float], text: str
    ) -> "Markup":
        """A chart as an <svg> element.

        Args:
            plot: draws on the axes it is given; a $ in its texts is a $, as a class may have one.
            size: width and height in inches.
            text: what the chart shows, for those who do not see it.
        """
        import matplotlib
        from matplotlib.figure import Figure

        with matplotlib.rc_context({**_STYLE, "text.parse_math": False}):
            figure = Figure(figsize=size, layout="constrained")
            plot(figure.add_subplot())
            return self.drawn(lambda stream: figure.savefig(stream, format="svg", dpi=150), text)

    def drawn(self, draw: Callable[[BinaryIO], object], text: str) -> "Markup":
        """What a function writes to a stream as SVG, as an <svg> element; `text` as in `chart`."""
        import matplotlib

        stream = io.BytesIO()
        with matplotlib.rc_context(_STYLE):
            draw(stream)
        return self._element(stream.getvalue().decode(), text)

    def _element(self, svg: str, text: str) -> "Markup":
        """Without what an XML file needs, and a page does not: header, namespaces, metadata."""
        from markupsafe import Markup, escape

        svg = svg[svg.index("<svg") :]
        svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, count=1, flags=re.DOTALL)
        head, rest = svg.split(">", 1)
        width, box = (re.search(rf'{name}="([^"]*)"', head)[1] for name in ("width", "viewBox"))
        prefix = f"f{next(self._numbers)}-"
        rest = re.sub(r'(\sid="|xlink:href="#|url\(#)', rf"\g<1>{prefix}", rest)
        head = f'<svg role="img" aria-label="{escape(text)}" viewBox="{box}" style="width:{width}"'
        return Markup(f"{head}>{rest.strip()}")  # matplotlib has escaped its texts
