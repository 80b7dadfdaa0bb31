"""`--help` of every command: each option explained, with its default, in a group."""

import argparse

import pytest

from ffdwv_fast.command import ArgumentParser, positive_int
from tests import commands

MOST_WITHOUT_GROUPS = 8
ARGPARSES_OWN = ("options", "positional arguments")


def complaints(parser: argparse.ArgumentParser) -> list[str]:
    """What a reader of its help would miss."""
    formatter = parser._get_formatter()
    found = []
    named = [
        action
        for group in parser._action_groups
        if group.title not in ARGPARSES_OWN
        for action in group._group_actions
    ]
    options = [a for a in parser._actions if a.option_strings and a.dest != "help"]
    for action in parser._actions:
        name = "/".join(action.option_strings) or action.dest
        if not (action.help or "").strip():
            found.append(f"{name}: no help")
        elif action in options and not says_default(action, formatter._expand_help(action)):
            found.append(f"{name}: does not say its default")
        if action in options and len(options) > MOST_WITHOUT_GROUPS and action not in named:
            found.append(f"{name}: in no group")
    return found


def says_default(action: argparse.Action, text: str) -> bool:
    """Whether a help text has the default, or says that there is none."""
    if action.required:
        return True
    _, colon, said = text.rpartition("default: ")
    if action.default is None or action.default == []:
        return "default" in text
    if isinstance(action.default, bool):
        return said == ("on)" if action.default else "off)")
    return bool(colon) and said == f"{action.default})"


@pytest.mark.parametrize("name", commands.names())
def test_every_option_is_explained(name):
    assert complaints(commands.parser_of(name)) == []


def test_the_commands_are_found():
    own = ("choose", "evaluate", "export", "predict", "report", "reproduce", "similarity", "train")
    assert {f"ffdwv_fast.{name}" for name in own} < set(commands.names())
    assert "benchmarks.gpu_suite" in commands.names()


def test_what_a_help_lacks_is_found():
    p = ArgumentParser()
    p.add_argument("run")
    p.add_argument("--silent", type=positive_int)
    p.add_argument("--good", default=0, help="a number")
    p.add_argument("--no", action="store_true", help="a flag")
    p.add_argument("--must", required=True, help="a number")
    assert complaints(p) == ["run: no help", "--silent: no help"]
    for index in range(5):
        p.add_argument_group("group").add_argument(f"--{index}", help="more")
    lonely = [f"{name}: in no group" for name in ("--silent", "--good", "--no", "--must")]
    assert [line for line in complaints(p) if "group" in line] == lonely


def test_defaults_that_argparse_does_not_show_are_missed():
    p = argparse.ArgumentParser()
    p.add_argument("--out", help="a folder")
    p.add_argument("--top", default=5, help="how many")
    p.add_argument("--flag", action="store_true", help="a flag")
    shown = [f"{name}: does not say its default" for name in ("--out", "--top", "--flag")]
    assert complaints(p) == shown


def test_defaults_are_in_words():
    p = ArgumentParser(prog="x")
    p.add_argument("--seed", type=int, default=0, help="a number")
    p.add_argument("--flag", action="store_true", help="a flag")
    p.add_argument("--file", help="a file")
    p.add_argument("--list", default=[], help="some")
    p.add_argument("--told", help="a name (default: the run's)")
    lines = [" ".join(line.split()) for line in p.format_help().splitlines()]
    assert lines[-5:] == [
        "--seed SEED a number (default: 0)",
        "--flag a flag (default: off)",
        "--file FILE a file (default: none)",
        "--list LIST some (default: none)",
        "--told TOLD a name (default: the run's)",
    ]
