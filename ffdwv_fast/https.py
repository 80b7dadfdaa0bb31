"""Files over HTTPS: checked, tried again, and never half of one under its name."""

import hashlib
import io
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urljoin, urlsplit

from ffdwv_fast.atomic_file import replaced_file
from ffdwv_fast.extras import need

TIMEOUT_SECONDS = 30
RETRY_DELAYS_SECONDS = (1, 2, 4)

_CHUNK = 1 << 18
_PASSING_STATUS = {408, 425, 429, 500, 502, 503, 504}
_THIS_MACHINE = {"localhost", "127.0.0.1", "::1"}


class DownloadError(Exception):
    """Why a download failed, in one line."""


class _PassingError(DownloadError):
    """A failure that may be over at the next attempt."""


@dataclass(frozen=True)
class Part:
    """A published file, or one of those that make up a larger one.

    Attributes:
        url: ``https://``, or ``http://`` on this machine.
        most_bytes: What is larger is given up.
        algorithm: hashlib's name of the checksum's kind.
        checksum: In hexadecimal; None: there is none.
    """

    url: str
    most_bytes: int
    algorithm: str = "sha256"
    checksum: str | None = None


def download(parts: Sequence[Part], path: Path) -> None:
    """Make ``path`` of the parts, one after the other; it appears when all is there and right.

    Several processes may do so at once: each writes a file of its own beside, and the last one to
    end replaces the others' equal ones.

    Raises:
        DownloadError: No attempt brought a part, it has another checksum, or it cannot be written.
            What was at ``path`` is as it was.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replaced_file(path) as stream:
            for part in parts:
                _fetch(part, stream)
    except OSError as error:
        reason = error.strerror or error
        raise DownloadError(f"{path} cannot be written: {reason}") from error


def download_bytes(part: Part) -> bytes:
    """The content of a small file; DownloadError as in `download`."""
    content = io.BytesIO()
    _fetch(part, content)
    return content.getvalue()


def file_checksum(path: Path, algorithm: str = "sha256") -> str:
    """A file's checksum in hexadecimal; OSError where it cannot be read."""
    digest = hashlib.new(algorithm)
    with open(path, "rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _fetch(part: Part, stream: BinaryIO) -> None:
    start = stream.tell()
    for delay in RETRY_DELAYS_SECONDS:
        try:
            return _attempt(part, stream)
        except _PassingError as error:
            print(f"{part.url}: {error}; next attempt in {delay} s", file=sys.stderr)
        time.sleep(delay)
        stream.seek(start)
        stream.truncate()
    return _attempt(part, stream)


def _attempt(part: Part, stream: BinaryIO) -> None:
    need("requests", "tqdm")
    import requests
    import urllib3
    from tqdm import tqdm

    _require_https(part.url)
    digest = hashlib.new(part.algorithm, usedforsecurity=False)
    try:
        with _reply(part.url) as reply:
            size = _announced_size(reply)
            name = urlsplit(part.url).path.rsplit("/", 1)[-1]
            # None: no bar where stderr is no terminal.
            with tqdm(total=size, unit="B", unit_scale=True, desc=name, disable=None) as bar:
                for chunk in _chunks(reply, size, part.most_bytes):
                    digest.update(chunk)
                    stream.write(chunk)
                    bar.update(len(chunk))
    except requests.exceptions.SSLError as error:
        raise DownloadError(_line(error)) from error
    except (
        *(requests.ConnectionError, requests.Timeout, urllib3.exceptions.HTTPError),
        requests.exceptions.ChunkedEncodingError,
    ) as error:
        raise _PassingError(_line(error)) from error
    except requests.RequestException as error:
        raise DownloadError(_line(error)) from error
    if part.checksum is not None and digest.hexdigest() != part.checksum:
        # Without a size a connection that breaks looks like an end.
        kind = DownloadError if size is not None else _PassingError
        raise kind(f"the {part.algorithm} is {digest.hexdigest()}, expected {part.checksum}")


def _reply(url: str):
    import requests

    def refuse_plain_redirect(reply, **options):
        if reply.is_redirect:
            _require_https(urljoin(reply.url, reply.headers["location"]))

    reply = requests.get(
        url,
        stream=True,
        timeout=TIMEOUT_SECONDS,
        headers={"Accept-Encoding": "identity"},
        hooks={"response": refuse_plain_redirect},
    )
    if reply.status_code != 200:
        reply.close()
        kind = _PassingError if reply.status_code in _PASSING_STATUS else DownloadError
        raise kind(f"the server answers {reply.status_code} {reply.reason}")
    return reply


def _announced_size(reply) -> int | None:
    size = reply.headers.get("Content-Length", "")
    return int(size) if size.isascii() and size.isdigit() else None


def _chunks(reply, size: int | None, most_bytes: int) -> Iterator[bytes]:
    received = 0
    # Not reply.iter_content, which would undo a Content-Encoding that nobody asked for.
    for chunk in reply.raw.stream(_CHUNK, decode_content=False):
        received += len(chunk)
        if received > most_bytes:
            raise DownloadError(f"the server sends more than the {most_bytes} bytes expected")
        yield chunk
    if size is not None and received != size:
        raise _PassingError(f"the connection ended after {received} of {size} bytes")


def _require_https(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _THIS_MACHINE):
        return
    raise DownloadError(f"{url} is not https: refused")


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
