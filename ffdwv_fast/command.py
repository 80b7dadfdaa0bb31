"""What every `python -m ffdwv_fast.<command>` shares: options, and how errors reach a person."""

import argparse
import math
import os
import sys
from collections.abc import Callable

from ffdwv_fast.errors import InputError
from ffdwv_fast.extras import is_of_an_extra, need


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Ends every option's help with its default, where the text does not speak of it."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        text = action.help or ""
        if not action.option_strings or action.required or action.default is argparse.SUPPRESS:
            return text
        if action.default is None or action.default == []:
            return text if "default" in text else f"{text} (default: none)"
        if isinstance(action.default, bool):
            return f"{text} (default: {'on' if action.default else 'off'})"
        return f"{text} (default: %(default)s)"


class ArgumentParser(argparse.ArgumentParser):
    """argparse whose errors are one line and whose `--help` shows every default."""

    def __init__(self, **kwargs):
        kwargs.setdefault("formatter_class", _HelpFormatter)
        kwargs.setdefault("allow_abbrev", False)
        super().__init__(**kwargs)

    def error(self, message: str):
        print(f"error: {message}; see --help", file=sys.stderr)
        raise SystemExit(2)


def _number(text: str, convert: Callable, fits: Callable[..., bool], expected: str):
    try:
        value = convert(text)
    except ValueError:
        value = None
    if value is None or not math.isfinite(value) or not fits(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not {expected}")
    return value


def positive_int(text: str) -> int:
    """An option's value: an integer of 1 or more."""
    return _number(text, int, lambda v: v >= 1, "an integer of 1 or more")


def non_negative_int(text: str) -> int:
    """An option's value: an integer from 0 to 2**63 - 1."""
    return _number(text, int, lambda v: 0 <= v < 2**63, "an integer from 0 to 2**63 - 1")


def positive_float(text: str) -> float:
    """An option's value: a finite number above 0."""
    return _number(text, float, lambda v: v > 0, "a number above 0")


def non_negative_float(text: str) -> float:
    """An option's value: a finite number of 0 or more."""
    return _number(text, float, lambda v: v >= 0, "a number of 0 or more")


def run_command(main: Callable[[list[str] | None], None]) -> None:
    """Run a command's `main`; an InputError becomes one line and exit status 2."""
    try:
        _run(main)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except BrokenPipeError:  # the reader, `head` for one, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        raise SystemExit(130) from None


def _run(main: Callable[[list[str] | None], None]) -> None:
    try:
        main(None)
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if is_of_an_extra(library):
            need(library)
        raise
