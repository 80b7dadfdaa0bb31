"""How the runs were made: every option, the hardware, the versions, the folders."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from ffdwv_fast.report.runs import Group, ReportRun, options_of
from ffdwv_fast.report.section import Report, Section


def _content(report: Report) -> Mapping[str, object]:
    parts = {
        "Options": lambda run: options_of(run.config),
        "Hardware": _of_summary("hardware"),
        "Versions": _of_summary("versions"),
        "Folder": lambda run: {"folder": str(run.folder)},
    }
    return {
        "groups": report.groups,
        "tables": [(title, list(_rows(report.groups, part))) for title, part in parts.items()],
    }


def _of_summary(name: str) -> Callable[[ReportRun], dict[str, str]]:
    def part(run: ReportRun) -> dict[str, str]:
        found = (run.summary or {}).get(name, {})
        return {key.replace("_", " "): str(value) for key, value in found.items()}

    return part


def _rows(
    groups: Sequence[Group], part: Callable[[ReportRun], Mapping[str, str]]
) -> Iterator[tuple[str, list[str], bool]]:
    """Name, what each group has, whether that differs."""
    of_runs = [[part(run) for run in group.runs] for group in groups]
    names = dict.fromkeys(name for runs in of_runs for run in runs for name in run)
    for name in names:
        cells = [", ".join(dict.fromkeys(run.get(name, "") for run in runs)) for runs in of_runs]
        # Unfinished runs, of which nothing is known yet, differ in nothing.
        known = {cell for cell, runs in zip(cells, of_runs, strict=True) if any(runs)}
        yield name, cells, len(known) > 1


CONFIGURATION = Section("configuration", "Configuration and hardware", _content)
