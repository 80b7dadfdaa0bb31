"""Results as files and as tables."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from ffdwv_fast.atomic_file import replaced_file
from ffdwv_fast.errors import InputError

_NUMBERS = re.compile(r"[-\d.,%x ]*")


def write_json(path: Path, content: dict[str, object]) -> None:
    """Write a result so that an interruption leaves the one before or this one, never half.

    Raises:
        InputError: the file or its folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replaced_file(path) as file:
            file.write((json.dumps(content, indent=1) + "\n").encode())
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror}); name another place"
        ) from error


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table in columns: words to the left, numbers to the right."""
    columns = list(zip(head, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    numeric = [all(map(_NUMBERS.fullmatch, column[1:])) for column in columns]

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(cells, widths, numeric, strict=True)
        )
        return "  ".join(padded).rstrip()

    return [line(head), line(["-" * width for width in widths]), *(line(row) for row in rows)]


def number(value: float) -> str:
    """Three digits, or all before the point."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
