"""Archives: fetched once, checked, and unpacked without trusting their contents."""

import os.path
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from ffdwv_fast.errors import InputError

TIMEOUT_SECONDS = 30


def fetch(url: str, sha256: str, archive: Path, instead: str) -> None:
    """Make sure that ``archive`` is there and has this checksum; download it only if it is absent.

    A partial download is never left behind, and a file of another checksum never replaced.

    Args:
        url: where it is published.
        sha256: its checksum, in hexadecimal.
        archive: where it is, or is to be.
        instead: what to do where a download is not possible, for the error's last words.

    Raises:
        InputError: the file there has another checksum, or the download fails or does not match.
    """
    import pooch

    if os.path.exists(archive):
        _check_sum(archive, sha256, url)
        return
    downloader = pooch.HTTPDownloader(progressbar=True, timeout=TIMEOUT_SECONDS)
    try:
        pooch.retrieve(
            url, f"sha256:{sha256}", archive.name, path=archive.parent, downloader=downloader
        )
    # pooch lets through whatever requests, urllib3 and the file system raise: OSError covers all
    # but the mismatch, a ValueError.
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"downloading {url} failed ({reason}): place the file by hand as {archive} "
            f"(SHA-256 {sha256}), or {instead}"
        ) from error


def _check_sum(archive: Path, sha256: str, url: str) -> None:
    import pooch

    try:
        found = pooch.file_hash(str(archive), alg="sha256")
    except OSError as error:
        raise InputError(f"cannot read {archive}: {error.strerror}") from error
    if found != sha256:
        raise InputError(
            f"{archive} has the SHA-256 {found}, expected {sha256}: "
            f"delete it to download it again, or put a good copy of {url} there"
        )


def unpack(archive: Path, folder: Path, sizes: Mapping[str, int | None]) -> None:
    """Unpack the wanted files of a .tar.gz whose members all lie in one folder.

    The files are written beside ``folder`` and renamed into place together, so that ``folder``
    exists only when it is complete. Files of the archive that are not wanted are not written.

    Args:
        archive: the .tar.gz.
        folder: the folder to create; the archive's members are called ``folder.name/...``.
        sizes: the wanted files' sizes in bytes by name, None for any size.

    Raises:
        InputError: the archive is damaged, has a member that is neither a file of that folder nor
            the folder itself (a link, a path that leads elsewhere), or lacks a wanted file of the
            right size.
    """
    try:
        with (
            tempfile.TemporaryDirectory(prefix=".unpacking-", dir=folder.parent) as temporary,
            tarfile.open(archive, "r:gz") as members,
        ):
            complete = Path(temporary) / folder.name
            complete.mkdir()
            _write_members(members, complete, sizes, archive)
            _move(complete, folder)
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise InputError(f"cannot unpack {archive} into {folder.parent}: {error}") from error


def _write_members(
    members: tarfile.TarFile, folder: Path, sizes: Mapping[str, int | None], archive: Path
) -> None:
    missing = set(sizes)
    for member in members:
        path = PurePosixPath(member.name)
        if member.isdir() and path == PurePosixPath(folder.name):
            continue
        if not member.isreg() or path.parent != PurePosixPath(folder.name):
            raise InputError(
                f"{archive} holds {member.name!r}, expected only plain files in {folder.name}/: "
                "delete it and download it again"
            )
        if path.name not in missing:
            continue
        if sizes[path.name] not in (None, member.size):
            raise InputError(
                f"{path.name} in {archive} has {member.size} bytes, expected {sizes[path.name]}: "
                "delete it and download it again"
            )
        missing.remove(path.name)
        with members.extractfile(member) as source, open(folder / path.name, "xb") as target:
            shutil.copyfileobj(source, target)
    if missing:
        raise InputError(
            f"{archive} lacks {', '.join(sorted(missing))}: delete it and download it again"
        )


def _move(complete: Path, folder: Path) -> None:
    try:
        complete.rename(folder)
    except OSError:
        # Another process may have been first; its folder came from the same archive.
        if not folder.is_dir():
            raise
