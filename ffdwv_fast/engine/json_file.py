"""Files of JSON, as a run's folder has them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from ffdwv_fast.atomic_file import replaced_file
from ffdwv_fast.errors import InputError


def write_json(path: Path, content: Mapping[str, object] | Sequence[str]) -> None:
    """Write a file so that an interruption leaves all of it or nothing."""
    with replaced_file(path) as file:
        file.write((json.dumps(content, indent=2) + "\n").encode())


def read_object(path: Path, option: str, advice: str) -> dict[str, object]:
    """The object that a file holds.

    Args:
        path: the file.
        option: begins the message of an error.
        advice: ends it: what to do.

    Raises:
        InputError: the file cannot be read, or holds no object.
    """
    try:
        content = json.loads(path.read_text())
        if not isinstance(content, dict):
            raise ValueError("it holds no object")
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{option} {path} cannot be read ({error}); {advice}") from None
    return content
