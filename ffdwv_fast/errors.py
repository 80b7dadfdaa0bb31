"""The one exception type for input that the user can correct."""


class InputError(ValueError):
    """Bad input: the message is one line that names the value, what is allowed and what to do.

    The commands print it as ``error: ...`` and exit with status 2; in Python it is a
    ``ValueError``.
    """
