"""The error of each class, the groups beside each other."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch

from ffdwv_fast.report.runs import Group
from ffdwv_fast.report.section import Report, Section
from ffdwv_fast.reproduce.statistics import Sample, sample


class ClassError(NamedTuple):
    """How a class fares in the runs of a group.

    Attributes:
        error: percent of its images that are taken for another class: a value for each run that
            has images of it; None where none has.
        images: of the class, over all runs.
        wrong: how many of these.
        taken_for: the class it is most often taken for; None where nothing is wrong.
    """

    error: Sample | None
    images: int
    wrong: int
    taken_for: str | None


def _content(report: Report) -> Mapping[str, object] | None:
    if not report.predicted:
        return None
    return {
        "tables": [
            {"name": images, "groups": groups, "rows": list(_rows(groups))}
            for images, groups in report.by_images(report.predicted).items()
        ]
    }


def _rows(groups: Sequence[Group]) -> Iterator[tuple[str, list[ClassError]]]:
    columns = [class_errors(group) for group in groups]
    names = groups[0].predicted[0][1].class_names
    for label, name in enumerate(names):
        yield name, [column[label] for column in columns]


def class_errors(group: Group) -> list[ClassError]:
    """An entry for each class, by label.

    Args:
        group: with predictions.
    """
    confusions = [predictions.confusion for _, predictions in group.predicted]
    names = group.predicted[0][1].class_names
    found = []
    for label in range(len(names)):
        rows = [confusion[label] for confusion in confusions]
        errors = [100 * (1 - int(row[label]) / int(row.sum())) for row in rows if row.sum()]
        others = torch.stack(rows).sum(dim=0)
        images = int(others.sum())
        others[label] = 0
        wrong = int(others.sum())
        taken_for = names[int(others.argmax())] if wrong else None
        found.append(ClassError(sample(errors), images, wrong, taken_for))
    return found


CLASSES = Section("classes", "Errors by class", _content)
