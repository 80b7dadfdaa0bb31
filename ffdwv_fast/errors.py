"""The one exception type for input that the user can correct."""


class InputError(ValueError):
    """Bad input: the message is one line that names the value, what is allowed and what to do.

    The commands print it as ``error: ...`` and exit with status 2; in Python it is a
    ``ValueError``.
    """


def first_line(error: Exception) -> str:
    """What an error says, in one line; its kind where it says nothing."""
    return printable(next(iter(str(error).splitlines()), "") or type(error).__name__)


def printable(text: str) -> str:
    """A text that anyone may have written, safe to show in one line."""
    return text if text.isprintable() else repr(text)
