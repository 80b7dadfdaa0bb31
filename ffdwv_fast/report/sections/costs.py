"""What the runs cost: operations, parameters, time."""

from collections.abc import Mapping
from statistics import fmean

from ffdwv_fast.report.runs import Group
from ffdwv_fast.report.section import Report, Section


def _content(report: Report) -> Mapping[str, object] | None:
    finished = [group for group in report.groups if group.sample("seconds")]
    if not finished:
        return None
    rows = [
        {
            "group": group,
            "values": [
                group.sample(name)
                for name in ("parameters", "train_flops", "test_flops", "images_per_second")
            ],
            "seconds": group.sample("seconds"),
            "shares": _shares(group),
        }
        for group in finished
    ]
    return {"rows": rows}


def _shares(group: Group) -> list[tuple[str, float]]:
    """Where the time went: means over the runs, in percent, the largest first."""
    shares = [run.summary.get("time_shares", {}) for run in group.runs if run.summary is not None]
    names = {name for one in shares for name in one}
    means = {name: fmean(one.get(name, 0.0) for one in shares) for name in names}
    return sorted(means.items(), key=lambda item: (-item[1], item[0]))


COSTS = Section("costs", "Costs", _content)
