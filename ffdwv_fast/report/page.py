"""The page: every section by its template, with style and script inside."""

import base64
import hashlib
from functools import partial
from typing import TYPE_CHECKING

from ffdwv_fast.report.section import Report
from ffdwv_fast.report.sections import SECTIONS
from ffdwv_fast.reproduce.statistics import Sample

if TYPE_CHECKING:
    from jinja2 import Environment

NOTHING = "\N{EN DASH}"


def as_page(report: Report) -> str:
    """One HTML text that needs nothing else.

    Whatever comes from a run is escaped where a template puts it in. The page's policy allows no
    address to be loaded and no script but its own.

    Args:
        report: what it is made from.
    """
    environment = _environment()
    from markupsafe import Markup

    style, script = (
        environment.loader.get_source(environment, name)[0] for name in ("style.css", "page.js")
    )
    sections = [(section, section.content(report)) for section in SECTIONS]
    shown = [
        (section, Markup(environment.get_template(f"{section.name}.html").render(content)))
        for section, content in sections
        if content is not None
    ]
    return environment.get_template("page.html").render(
        title=_title(report),
        sections=shown,
        style=Markup(style),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("ffdwv_fast.report", "assets"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        spread=spread, number=number, mean=_mean, percent=partial(number, digits=2)
    )
    return environment


def _title(report: Report) -> str:
    names = [group.name for group in report.groups]
    return names[0] if len(names) == 1 else f"{len(names)} configurations"


def number(value: float | None, digits: int = 3) -> str:
    """A number with so many digits behind the point; a dash for None."""
    return NOTHING if value is None else f"{value:,.{digits}f}"


def spread(sample: Sample | None, digits: int = 2) -> str:
    """Mean and standard deviation; the mean alone for one value, a dash for none."""
    if sample is None:
        return NOTHING
    beside = "" if sample.sd is None else f" ± {number(sample.sd, digits)}"
    return number(sample.mean, digits) + beside


def _mean(sample: Sample | None) -> str:
    """The value that a cell is sorted by."""
    return "" if sample is None else repr(sample.mean)
