"""What a section of the page is, and what it is made from."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from ffdwv_fast.report.runs import Group
from ffdwv_fast.report.svg import Pictures


class Report(NamedTuple):
    """What a page is made from.

    Attributes:
        groups: the runs; at least one group.
        notes: sentences on runs that are left out.
        pictures: draws.
        most_mistakes: shown of each group.
    """

    groups: Sequence[Group]
    notes: Sequence[str]
    pictures: Pictures
    most_mistakes: int

    @property
    def predicted(self) -> list[Group]:
        """The groups with predictions."""
        return [group for group in self.groups if group.predicted]

    def by_images(self, groups: Sequence[Group]) -> dict[str, list[Group]]:
        """Groups that were evaluated on images of the same kind, by a name of these images."""
        found: dict[str, list[Group]] = {}
        for group in groups:
            name = f"{group.config.dataset}, {group.evaluated_on} images"
            found.setdefault(name, []).append(group)
        return found


class Section(NamedTuple):
    """A section of the page.

    Attributes:
        name: its id, and its template's name: assets/NAME.html.
        title: its heading.
        content: gives the template's variables; None where there is nothing to show.
    """

    name: str
    title: str
    content: Callable[[Report], Mapping[str, object] | None]
