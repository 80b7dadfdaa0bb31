"""Archives: fetched once, checked, and unpacked without trusting their contents."""

import gzip
import os.path
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from ffdwv_fast.errors import InputError
from ffdwv_fast.https import DownloadError, Part, download, file_checksum

MOST_ARCHIVE_BYTES = 1 << 30
MOST_MEMBERS = 100
MOST_OTHER_BYTES = 1 << 20  # of wanted files of any size, unwanted ones and tar's own blocks


def fetch(url: str, sha256: str, archive: Path, instead: str) -> None:
    """Make sure that ``archive`` is there and has this checksum; download it only if it is absent.

    A partial download is never left under its name, and a file of another checksum never replaced.

    Args:
        url: where it is published.
        sha256: its checksum, in hexadecimal.
        archive: where it is, or is to be.
        instead: what to do where a download is not possible, for the error's last words.

    Raises:
        InputError: the file there has another checksum, or the download fails or does not match.
    """
    if os.path.exists(archive):
        _check_sum(archive, sha256, url)
        return
    try:
        download([Part(url, MOST_ARCHIVE_BYTES, "sha256", sha256)], archive)
    except DownloadError as error:
        raise InputError(
            f"downloading {url} failed ({error}): place the file by hand as {archive} "
            f"(SHA-256 {sha256}), or {instead}"
        ) from error


def _check_sum(archive: Path, sha256: str, url: str) -> None:
    try:
        found = file_checksum(archive)
    except OSError as error:
        raise InputError(f"cannot read {archive}: {error.strerror}") from error
    if found != sha256:
        raise InputError(
            f"{archive} has the SHA-256 {found}, expected {sha256}: "
            f"delete it to download it again, or put a good copy of {url} there"
        )


class _Bounded:
    """A stream that ends with an error where it is longer than it may be.

    tarfile takes sizes at their word: a header may announce terabytes, which a few kilobytes of
    gzip deliver.
    """

    def __init__(self, stream: BinaryIO, most_bytes: int):
        self._stream = stream
        self._left = most_bytes

    def read(self, size: int) -> bytes:
        content = self._stream.read(min(size, self._left + 1))
        self._left -= len(content)
        if self._left < 0:
            raise tarfile.TarError("it unpacks to more bytes than its files can have")
        return content


def unpack(archive: Path, folder: Path, sizes: Mapping[str, int | None]) -> None:
    """Unpack the wanted files of a .tar.gz whose members all lie in one folder.

    The files are written beside ``folder`` and renamed into place together, so that ``folder``
    exists only when it is complete. Files of the archive that are not wanted are not written.
    No more is decompressed than the wanted sizes and 1 MiB, whatever the archive announces.

    Args:
        archive: the .tar.gz.
        folder: the folder to create; the archive's members are called ``folder.name/...``.
        sizes: the wanted files' sizes in bytes by name, None for any size within that 1 MiB.

    Raises:
        InputError: the archive is damaged, has a member that is neither a file of that folder nor
            the folder itself (a link, a path that leads elsewhere), has one twice, more than 100
            or too much content, or lacks a wanted file of the right size; or the disk is full.
    """
    most_bytes = sum(size or 0 for size in sizes.values()) + MOST_OTHER_BYTES
    try:
        with (
            tempfile.TemporaryDirectory(prefix=".unpacking-", dir=folder.parent) as temporary,
            gzip.open(archive) as content,
            tarfile.open(fileobj=_Bounded(content, most_bytes), mode="r|") as members,
        ):
            complete = Path(temporary) / folder.name
            complete.mkdir()
            _write_members(members, complete, sizes, archive)
            _move(complete, folder)
    except InputError:
        raise
    # ValueError and OverflowError: what tarfile makes of some damaged headers.
    except (tarfile.TarError, EOFError, zlib.error, OSError, ValueError, OverflowError) as error:
        raise InputError(
            f"cannot unpack {archive} into {folder.parent}: {' '.join(str(error).split())}"
        ) from error


def _write_members(
    members: tarfile.TarFile, folder: Path, sizes: Mapping[str, int | None], archive: Path
) -> None:
    seen: set[str] = set()
    for count, member in enumerate(members, 1):
        if count > MOST_MEMBERS:
            raise _refused(archive, f"holds more than {MOST_MEMBERS} files")
        path = PurePosixPath(member.name)
        if member.isdir() and path == PurePosixPath(folder.name):
            continue
        _check_member(member, path, folder.name, seen, archive)
        seen.add(path.name)
        if path.name not in sizes:
            continue
        if sizes[path.name] not in (None, member.size):
            raise InputError(
                f"{path.name} in {archive} has {member.size} bytes, expected {sizes[path.name]}: "
                "delete it and download it again"
            )
        with members.extractfile(member) as source, open(folder / path.name, "xb") as target:
            shutil.copyfileobj(source, target)
    missing = sizes.keys() - seen
    if missing:
        raise _refused(archive, f"lacks {', '.join(sorted(missing))}")


def _check_member(
    member: tarfile.TarInfo, path: PurePosixPath, folder: str, seen: set[str], archive: Path
) -> None:
    plain = member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not member.issparse()
    if not plain or path.parent != PurePosixPath(folder):
        raise _refused(archive, f"holds {member.name!r}, expected only plain files in {folder}/")
    if path.name in seen:
        raise _refused(archive, f"holds {member.name!r} twice")


def _refused(archive: Path, what: str) -> InputError:
    return InputError(f"{archive} {what}: delete it and download it again")


def _move(complete: Path, folder: Path) -> None:
    try:
        complete.rename(folder)
    except OSError:
        # Another process may have been first; its folder came from the same archive.
        if not folder.is_dir():
            raise
