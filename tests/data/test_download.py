"""Downloads, against a server on this machine; archives that are damaged or mean harm."""

import gzip
import subprocess
import sys
import tarfile

import pytest

from ffdwv_fast import https
from ffdwv_fast.data import cifar, download
from ffdwv_fast.data.cifar import load_cifar
from ffdwv_fast.errors import InputError
from tests.data.samples import (
    TINY_RECORDS,
    expect_tiny,
    make_archive,
    publish,
    tiny_archive,
    tiny_files,
)
from tests.file_server import FileServer
from tests.little_disk import little_disk

ARCHIVE = "cifar-10-binary.tar.gz"
PATH = f"/{ARCHIVE}"
FOLDER = "cifar-10-batches-bin"


@pytest.fixture
def server(monkeypatch):
    for variable in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(variable, "127.0.0.1")
    monkeypatch.setattr(https, "RETRY_DELAYS_SECONDS", (0,))
    server = FileServer({})
    yield server
    server.close()


@pytest.fixture
def published(server, monkeypatch):
    """The server, with a good archive of the tiny CIFAR-10 on it."""
    expect_tiny(monkeypatch, "cifar10")
    server.files[PATH] = tiny_archive("cifar10")
    publish(monkeypatch, "cifar10", server.files[PATH], server.url + PATH)
    return server


def left_in(folder) -> set[str]:
    """The names of everything in a folder."""
    return {path.name for path in folder.iterdir()}


def test_download_is_unpacked_and_read(published, tmp_path):
    data_dir = tmp_path / "new" / "folder"
    dataset = load_cifar("cifar10", data_dir)
    assert len(dataset.train) == 5 * TINY_RECORDS
    assert len(published.requests) == 1
    assert left_in(data_dir) == {ARCHIVE, FOLDER}
    for name, content in tiny_files("cifar10").items():
        assert (data_dir / FOLDER / name).read_bytes() == content


def test_download_shows_its_progress_on_a_terminal(published, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    load_cifar("cifar10", tmp_path)
    assert "100%" in capfd.readouterr().err


def test_second_call_does_not_contact_the_server(published, tmp_path):
    load_cifar("cifar10", tmp_path)
    load_cifar("cifar10", tmp_path)
    assert len(published.requests) == 1


def test_archive_that_is_there_is_not_downloaded(published, tmp_path):
    (tmp_path / ARCHIVE).write_bytes(published.files[PATH])
    assert len(load_cifar("cifar10", tmp_path).test) == TINY_RECORDS
    assert published.requests == []


def test_archive_placed_by_hand_is_checked_and_kept(published, tmp_path):
    (tmp_path / ARCHIVE).write_bytes(b"half of an archive")
    with pytest.raises(InputError, match=rf"{ARCHIVE} has the SHA-256 \w{{64}}, expected \w{{64}}"):
        load_cifar("cifar10", tmp_path)
    assert published.requests == []
    assert (tmp_path / ARCHIVE).read_bytes() == b"half of an archive"


@pytest.mark.parametrize("reply", [404, 503, "half", "stall", "wrong content", "no server"])
def test_failed_download_leaves_nothing_and_says_what_to_do(
    published, tmp_path, monkeypatch, reply
):
    monkeypatch.setattr(https, "TIMEOUT_SECONDS", 0.3)
    if reply == "wrong content":
        published.files[PATH] += b"more"
    elif reply == "no server":
        published.close()
    else:
        published.replies = [reply] * 2
    with pytest.raises(InputError) as caught:
        load_cifar("cifar10", tmp_path)
    message = str(caught.value)
    assert f"downloading {published.url}{PATH} failed" in message
    assert f"place the file by hand as {tmp_path / ARCHIVE}" in message
    assert cifar.CIFAR["cifar10"].sha256 in message
    assert "--dataset digits, which needs no download" in message
    assert "\n" not in message
    assert left_in(tmp_path) == set()


def test_download_works_after_one_that_failed(published, tmp_path):
    published.replies = ["half"] * 2
    with pytest.raises(InputError):
        load_cifar("cifar10", tmp_path)
    assert len(load_cifar("cifar10", tmp_path).test) == TINY_RECORDS


def test_data_folder_that_cannot_be_made_is_an_input_error(published, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match="place the file by hand"):
        load_cifar("cifar10", tmp_path / "file")


def link(name: str, target: str, kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


@pytest.mark.parametrize(
    "member",
    [
        "../outside",
        "/tmp/outside",
        f"{FOLDER}/../outside",
        f"{FOLDER}/deeper/test_batch.bin",
        "elsewhere/test_batch.bin",
        "outside",
    ],
)
def test_member_outside_the_folder_is_refused(published, tmp_path, monkeypatch, member):
    check_refused(tiny_archive("cifar10", extra={member: b"x"}), member, tmp_path, monkeypatch)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_member_that_is_no_plain_file_is_refused(published, tmp_path, monkeypatch, kind):
    name = f"{FOLDER}/readme.html"
    archive = tiny_archive("cifar10", link(name, "../../outside", kind))
    check_refused(archive, name, tmp_path, monkeypatch)


def check_refused(archive: bytes, member: str, tmp_path, monkeypatch) -> None:
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    (data_dir / ARCHIVE).write_bytes(archive)
    publish(monkeypatch, "cifar10", archive)
    with pytest.raises(InputError, match=f"holds '{member}', expected only plain files in"):
        load_cifar("cifar10", data_dir)
    assert left_in(data_dir) == {ARCHIVE}
    assert left_in(tmp_path) == {"data"}


def test_file_that_is_not_wanted_is_not_written(published, tmp_path, monkeypatch):
    archive = tiny_archive("cifar10", extra={f"{FOLDER}/readme.html": b"<html>"})
    (tmp_path / ARCHIVE).write_bytes(archive)
    publish(monkeypatch, "cifar10", archive)
    load_cifar("cifar10", tmp_path)
    assert left_in(tmp_path / FOLDER) == set(tiny_files("cifar10"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("truncated", "cannot unpack"),
        ("not a tar", "cannot unpack"),
        ("flipped bits", "cannot unpack|lacks"),
        ("empty", "cannot unpack"),
        ("file missing", "lacks batches.meta.txt, test_batch.bin"),
        ("wrong size", "test_batch.bin in .* has 5 bytes, expected 61460"),
    ],
)
def test_damaged_archive_is_an_input_error(published, tmp_path, monkeypatch, damage, message):
    archive = damaged(published.files[PATH], damage)
    (tmp_path / ARCHIVE).write_bytes(archive)
    publish(monkeypatch, "cifar10", archive)
    with pytest.raises(InputError, match=message) as caught:
        load_cifar("cifar10", tmp_path)
    assert "\n" not in str(caught.value)
    assert left_in(tmp_path) == {ARCHIVE}


def damaged(good: bytes, damage: str) -> bytes:
    if damage == "truncated":
        return good[: len(good) // 2]
    if damage == "not a tar":
        return b"<html>quota exceeded</html>"
    if damage == "flipped bits":
        middle = len(good) // 2
        return good[:middle] + bytes(255 - byte for byte in good[middle:])
    if damage == "empty":
        return b""
    members = {f"{FOLDER}/{name}": content for name, content in tiny_files("cifar10").items()}
    if damage == "wrong size":
        return make_archive(members | {f"{FOLDER}/test_batch.bin": b"short"})
    del members[f"{FOLDER}/test_batch.bin"], members[f"{FOLDER}/batches.meta.txt"]
    return make_archive(members)


def tar_header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    """A member's header alone, that announces what does not follow."""
    member = tarfile.TarInfo(name)
    member.size, member.type = size, kind
    return member.tobuf(tarfile.GNU_FORMAT)


def padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % 512)


TEN_MIB = bytes(10 << 20)
HOSTILE = {
    # Ten MiB of zeros are ten KiB of gzip: the announced size may be anything.
    "a bomb beside the files": (
        tar_header(f"{FOLDER}/readme.html", 1 << 40) + TEN_MIB,
        "unpacks to more bytes than its files can have",
    ),
    "a bomb in a long name": (
        tar_header("././@LongLink", 1 << 40, tarfile.GNUTYPE_LONGNAME) + TEN_MIB,
        "unpacks to more bytes than its files can have",
    ),
    "a bomb in a PAX header": (
        tar_header("pax", 1 << 40, tarfile.XHDTYPE) + TEN_MIB,
        "unpacks to more bytes than its files can have",
    ),
    "a bomb in the names": (
        tar_header(f"{FOLDER}/batches.meta.txt", len(TEN_MIB)) + TEN_MIB,
        "unpacks to more bytes than its files can have",
    ),
    "many members": (
        b"".join(tar_header(f"{FOLDER}/{number}", 0) for number in range(101)),
        "holds more than 100 files",
    ),
    "a file twice": (
        2 * (tar_header(f"{FOLDER}/batches.meta.txt", 8) + padded(b"airplane")),
        "holds 'cifar-10-batches-bin/batches.meta.txt' twice",
    ),
    "a negative size": (tar_header(f"{FOLDER}/a", -512), "cannot unpack|lacks"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_archive_that_means_harm_is_refused(published, tmp_path, monkeypatch, case):
    content, message = HOSTILE[case]
    archive = gzip.compress(content + bytes(1024), 1)
    (tmp_path / ARCHIVE).write_bytes(archive)
    publish(monkeypatch, "cifar10", archive)
    with pytest.raises(InputError, match=message) as caught:
        load_cifar("cifar10", tmp_path)
    assert "\n" not in str(caught.value)
    assert left_in(tmp_path) == {ARCHIVE}


def test_no_more_is_decompressed_than_the_files_can_have(published, tmp_path, monkeypatch):
    archive = gzip.compress(HOSTILE["a bomb beside the files"][0], 1)
    (tmp_path / ARCHIVE).write_bytes(archive)
    publish(monkeypatch, "cifar10", archive)
    read = []
    true_read = gzip.GzipFile.read

    def counting_read(self, size=-1):
        read.append(len(content := true_read(self, size)))
        return content

    monkeypatch.setattr(gzip.GzipFile, "read", counting_read)
    with pytest.raises(InputError, match="more bytes"):
        load_cifar("cifar10", tmp_path)
    wanted = sum(map(len, tiny_files("cifar10").values()))
    assert 0 < sum(read) <= wanted + download.MOST_OTHER_BYTES + 1


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.GNUTYPE_SPARSE])
def test_device_and_sparse_file_are_refused(published, tmp_path, monkeypatch, kind):
    name = f"{FOLDER}/device"
    check_refused(tiny_archive("cifar10", link(name, "", kind)), name, tmp_path, monkeypatch)


def test_disk_that_is_full_is_told_and_loses_nothing(published, tmp_path):
    (tmp_path / ARCHIVE).write_bytes(published.files[PATH])
    message = f"cannot unpack {tmp_path / ARCHIVE} into {tmp_path}: .*File too large"
    with pytest.raises(InputError, match=message), little_disk(1000):
        load_cifar("cifar10", tmp_path)
    assert left_in(tmp_path) == {ARCHIVE}
    assert (tmp_path / ARCHIVE).read_bytes() == published.files[PATH]


def test_two_processes_at_once_do_not_collide(published, tmp_path):
    """Both find neither archive nor folder, download, unpack, and read."""
    code = (
        "import sys; from pathlib import Path; from ffdwv_fast.data import download;"
        "url, checksum, folder = sys.argv[1:]; folder = Path(folder);"
        "archive = folder.parent / url.rsplit('/', 1)[1];"
        "download.fetch(url, checksum, archive, '');"
        "download.unpack(archive, folder, {'test_batch.bin': 61460, 'batches.meta.txt': None})"
    )
    argv = [sys.executable, "-c", code, published.url + PATH, cifar.CIFAR["cifar10"].sha256]
    argv.append(str(tmp_path / FOLDER))
    published.replies = ["meet", "meet"]
    processes = [subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    errors = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    assert len(published.requests) == 2
    assert left_in(tmp_path) == {ARCHIVE, FOLDER}
    assert (tmp_path / ARCHIVE).read_bytes() == published.files[PATH]
    assert left_in(tmp_path / FOLDER) == {"test_batch.bin", "batches.meta.txt"}


def test_folder_that_another_process_made_first_is_used(published, tmp_path):
    archive, folder = tmp_path / ARCHIVE, tmp_path / FOLDER
    archive.write_bytes(published.files[PATH])
    folder.mkdir()
    (folder / "first").write_bytes(b"")
    download.unpack(archive, folder, dict.fromkeys(tiny_files("cifar10")))
    assert left_in(folder) == {"first"}
    assert left_in(tmp_path) == {ARCHIVE, FOLDER}
