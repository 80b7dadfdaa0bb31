"""Every command of the project, and its parser."""

import argparse
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


class _Caught(Exception):
    """Carries a parser out of its command."""


def names() -> list[str]:
    """What can stand after `python -m`, apart from tests."""
    files = (path for room in ("ffdwv_fast", "benchmarks") for path in (ROOT / room).rglob("*.py"))
    paths = (path for path in files if "run_command(main)" in path.read_text())
    found = (".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths)
    return sorted(name.removesuffix(".__main__") for name in found)


def parser_of(name: str) -> argparse.ArgumentParser:
    """The parser that a command asks, wherever it makes it."""

    def catch(parser, *_):
        raise _Caught(parser)

    is_package = (ROOT / name.replace(".", "/")).is_dir()
    command = importlib.import_module(f"{name}.__main__" if is_package else name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", catch)
        with pytest.raises(_Caught) as caught:
            command.main([])
    return caught.value.args[0]
