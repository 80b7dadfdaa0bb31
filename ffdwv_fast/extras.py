"""The libraries that the loss does without: which extra of the package brings them."""

import importlib.util
import sys

from ffdwv_fast.errors import InputError

EXTRAS = {
    "train": (
        *("numpy", "gensim", "matplotlib", "PIL", "platformdirs", "requests", "safetensors"),
        *("scipy", "sklearn", "tqdm"),
    ),
    "export": ("onnx", "onnxscript", "onnxruntime"),
    "report": ("jinja2",),
    "tensorboard": ("tensorboard",),
    "timm": ("timm",),
}
EVERY_RUN = ("numpy", "matplotlib", "safetensors", "tqdm")
"""What training, and whatever reads a run, cannot do without."""

_PACKAGES = {"PIL": "pillow", "sklearn": "scikit-learn"}


class MissingLibraryError(InputError, ImportError):
    """A library that is not installed: an `InputError` that says how to install it."""


def need(*libraries: str, extra: str | None = None) -> None:
    """Go on only if these libraries are installed.

    Args:
        libraries: names to import.
        extra: which one brings them all; None takes that of the first that is missing.

    Raises:
        MissingLibraryError: some are not.
    """
    missing = [name for name in libraries if importlib.util.find_spec(name) is None]
    if missing:
        packages = ", ".join(_PACKAGES.get(name, name) for name in missing)
        raise MissingLibraryError(
            f"this needs {packages}: pip install 'ffdwv_fast[{extra or _extra_of(missing[0])}]'"
        )


def exit_without(*libraries: str, extra: str | None = None) -> None:
    """For a command, before its imports need them: `need`, as one line and exit status 2."""
    try:
        need(*libraries, extra=extra)
    except MissingLibraryError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def is_of_an_extra(library: str) -> bool:
    """Whether an extra of the package brings the library."""
    return _extra_of(library) is not None


def _extra_of(library: str) -> str | None:
    return next((extra for extra, own in EXTRAS.items() if library in own), None)
