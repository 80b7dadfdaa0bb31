"""A file that says which words to read in place of class names."""

from collections.abc import Sequence
from pathlib import Path

from ffdwv_fast.errors import InputError

MOST_BYTES = 1 << 24  # of a text for people; a class takes some dozens
COMMENT = "#"


def read_alias_file(path: Path, names: Sequence[str]) -> dict[str, str]:
    """Words by class name, from lines ``NAME = WORDS``.

    Empty lines are passed over, and those that begin with ``#``.

    Args:
        path: a text file in UTF-8.
        names: the classes.

    Raises:
        InputError: the file cannot be read, or a line is none, is of no class, or of one that an
            earlier line is of; the line's number is given.
    """
    aliases: dict[str, str] = {}
    first_line: dict[str, int] = {}
    for number, line in enumerate(_lines(path), 1):
        if not line.strip() or line.lstrip().startswith(COMMENT):
            continue
        where = f"--alias-file {path}, line {number}"
        name, equals, words = (part.strip() for part in line.partition("="))
        if not (equals and name and words):
            raise InputError(f"{where}: {line.strip()!r} is not NAME = WORDS")
        if name not in names:
            raise InputError(
                f"{where}: {name!r} is no class; the classes are {', '.join(names)}; correct the "
                "name, or remove the line"
            )
        if name in aliases:
            raise InputError(
                f"{where}: class {name!r} has an alias in line {first_line[name]} already; keep one"
            )
        aliases[name] = words
        first_line[name] = number
    return aliases


def _lines(path: Path) -> list[str]:
    try:
        with open(path, "rb") as stream:
            content = stream.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise ValueError(f"it has more than {MOST_BYTES:,} bytes")
        return content.decode("utf-8-sig").split("\n")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(
            f"--alias-file {path}: cannot be read ({reason}); give a text file in UTF-8 with lines "
            "NAME = WORDS"
        ) from None
