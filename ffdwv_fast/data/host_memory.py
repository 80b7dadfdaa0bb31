"""How much memory the host has left."""

from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
# Limit, usage and details, as versions 2 and 1 of cgroups name them.
_CGROUP_FILES = (
    ("memory.max", "memory.current", "memory.stat"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
)


def available_memory() -> int | None:
    """Bytes that this process may still take, of the machine or its container; None: not known."""
    known = [size for size in (_of_machine(), _of_container()) if size is not None]
    return min(known, default=None)


def _of_machine() -> int | None:
    kilobytes = _fields(Path("/proc/meminfo")).get("MemAvailable:")
    return None if kilobytes is None else 1024 * kilobytes


def _of_container() -> int | None:
    for limit, usage, details in _CGROUP_FILES:
        most, used = _number(CGROUP / limit), _number(CGROUP / usage)
        if most is not None and used is not None:
            # What files have left in memory is given up when it is needed.
            cached = _fields(CGROUP / details).get("inactive_file", 0)
            return max(0, most - used + cached)
    return None


def _number(path: Path) -> int | None:
    """A file's one number; None for a word such as "max", and where there is no such file."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _fields(path: Path) -> dict[str, int]:
    """The lines "name number ..." of a file; none where there is no such file."""
    try:
        lines = [line.split() for line in path.read_text().splitlines()]
    except OSError:
        return {}
    return {words[0]: int(words[1]) for words in lines if len(words) > 1 and words[1].isdigit()}
