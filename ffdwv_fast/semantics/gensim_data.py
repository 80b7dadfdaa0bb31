"""Vector files from gensim-data (https://github.com/piskvorky/gensim-data), by name."""

import contextlib
import json
import logging
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError

from ffdwv_fast.errors import InputError

_BY_HAND = (
    "place the vector file by hand and give its path; the bundled source glove-6b-50d needs none"
)
_STALLED_AFTER_SECONDS = 60


def downloaded_file(name: str) -> Path:
    """The vector file of a gensim-data name, downloaded with a progress bar if it is not there.

    The Python module that gensim-data keeps beside every file is never imported.

    Args:
        name: Such as ``"word2vec-google-news-300"``.

    Raises:
        InputError: For an unknown name and a download that fails.
    """
    from gensim import downloader

    folder = Path(downloader.BASE_DIR)
    file = _known_file(folder, name)
    if file is not None and file.is_file():
        return file
    try:
        with _quiet_downloader(folder):
            _refuse_unknown(name, downloader.info())
            _remove_leftovers(folder, name)
            file = Path(downloader.load(name, return_path=True))
    except InputError:
        raise
    except Exception as error:  # gensim raises bare Exceptions, urllib and the disk their own
        raise InputError(f"{_failure(name, error)}; {_BY_HAND}") from error
    if not file.is_file():
        raise InputError(f"{file} is missing: remove the folder {file.parent} and try again")
    return file


def _known_file(folder: Path, name: str) -> Path | None:
    """Where the file lies according to the list of an earlier download: needs no network."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        listed = json.loads((folder / "information.json").read_text(encoding="utf-8"))
        return folder / name / listed["models"][name]["file_name"]
    return None


def _refuse_unknown(name: str, listed: dict) -> None:
    if name in listed["models"]:
        return
    problem = "a text corpus, no word vectors" if name in listed["corpora"] else "no such name"
    raise InputError(
        f"word vectors {name!r}: there is no such file, and in gensim-data it is {problem}; "
        f"`python -m gensim.downloader --info name` lists the names"
    )


def _remove_leftovers(folder: Path, name: str) -> None:
    """Clear what an interrupted download left, on which gensim would stumble."""
    shutil.rmtree(folder / f"{name}_tmp", ignore_errors=True)
    place = folder / name
    if place.is_dir() and not any(place.iterdir()):
        place.rmdir()


@contextlib.contextmanager
def _quiet_downloader(folder: Path) -> Iterator[None]:
    """Run gensim's downloader without tracebacks in the log or remains on the disk.

    Its temporary files go under ``folder``: what a failed download leaves is removed, and the
    system's temporary folder, often small, is not filled with gigabytes.
    """
    log = logging.getLogger("gensim.downloader")
    level, timeout, temporary = log.level, socket.getdefaulttimeout(), tempfile.tempdir
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=folder, prefix="download_") as scratch,
        contextlib.redirect_stdout(sys.stderr),
    ):
        log.setLevel(logging.CRITICAL + 1)
        socket.setdefaulttimeout(_STALLED_AFTER_SECONDS)
        tempfile.tempdir = scratch
        try:
            yield
        finally:
            log.setLevel(level)
            socket.setdefaulttimeout(timeout)
            tempfile.tempdir = temporary


def _failure(name: str, error: Exception) -> str:
    if "Checksum" in str(error):
        return f"word vectors {name!r}: the download does not match its checksum, try again"
    if isinstance(error, URLError | TimeoutError) or "Internet" in str(error):
        return (
            f"word vectors {name!r}: there is no such file, and gensim-data cannot be reached to "
            f"download it ({_first_line(error)})"
        )
    return f"word vectors {name!r}: the download failed ({_first_line(error)})"


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
