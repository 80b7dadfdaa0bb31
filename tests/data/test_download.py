"""Downloads, against a server on this machine; archives that are damaged or mean harm."""

import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

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

ARCHIVE = "cifar-10-binary.tar.gz"
FOLDER = "cifar-10-batches-bin"


class Server:
    """A web server with one file, that can fail in several ways."""

    def __init__(self):
        self.content = b""
        self.behaviour = "serve"
        self.requests = []
        self.stop_stalling = threading.Event()
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        self.url = f"http://127.0.0.1:{self.http.server_port}/{ARCHIVE}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def handler(server):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                server.requests.append(self.path)
                if server.behaviour == "not found":
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(server.content)))
                self.end_headers()
                half = len(server.content) // 2
                self.wfile.write(server.content[: None if server.behaviour == "serve" else half])
                if server.behaviour == "stall":
                    server.stop_stalling.wait(10)

            def log_message(self, *args):
                pass

        return Handler

    def close(self):
        self.stop_stalling.set()
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture
def server(monkeypatch):
    for variable in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(variable, "127.0.0.1")
    server = Server()
    yield server
    server.close()


@pytest.fixture
def published(server, monkeypatch):
    """The server, with a good archive of the tiny CIFAR-10 on it."""
    expect_tiny(monkeypatch, "cifar10")
    server.content = tiny_archive("cifar10")
    publish(monkeypatch, "cifar10", server.content, server.url)
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


def test_download_shows_its_progress(published, tmp_path, capfd):
    load_cifar("cifar10", tmp_path)
    assert "100%" in capfd.readouterr().err


def test_second_call_does_not_contact_the_server(published, tmp_path):
    load_cifar("cifar10", tmp_path)
    load_cifar("cifar10", tmp_path)
    assert len(published.requests) == 1


def test_archive_that_is_there_is_not_downloaded(published, tmp_path):
    (tmp_path / ARCHIVE).write_bytes(published.content)
    assert len(load_cifar("cifar10", tmp_path).test) == TINY_RECORDS
    assert published.requests == []


def test_archive_placed_by_hand_is_checked_and_kept(published, tmp_path):
    (tmp_path / ARCHIVE).write_bytes(b"half of an archive")
    with pytest.raises(InputError, match=rf"{ARCHIVE} has the SHA-256 \w{{64}}, expected \w{{64}}"):
        load_cifar("cifar10", tmp_path)
    assert published.requests == []
    assert (tmp_path / ARCHIVE).read_bytes() == b"half of an archive"


@pytest.mark.parametrize("behaviour", ["not found", "cut", "stall", "mismatch", "no server"])
def test_failed_download_leaves_nothing_and_says_what_to_do(
    published, tmp_path, monkeypatch, behaviour
):
    monkeypatch.setattr(download, "TIMEOUT_SECONDS", 0.3)
    published.behaviour = behaviour
    if behaviour == "mismatch":
        published.behaviour = "serve"
        published.content += b"more"
    if behaviour == "no server":
        published.close()
    with pytest.raises(InputError) as caught:
        load_cifar("cifar10", tmp_path)
    message = str(caught.value)
    assert f"downloading {published.url} failed" in message
    assert f"place the file by hand as {tmp_path / ARCHIVE}" in message
    assert cifar.CIFAR["cifar10"].sha256 in message
    assert "--dataset digits, which needs no download" in message
    assert "\n" not in message
    assert left_in(tmp_path) == set()


def test_download_works_after_one_that_failed(published, tmp_path):
    published.behaviour = "cut"
    with pytest.raises(InputError):
        load_cifar("cifar10", tmp_path)
    published.behaviour = "serve"
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
    archive = damaged(published.content, damage)
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


def test_folder_that_another_process_made_first_is_used(published, tmp_path):
    archive, folder = tmp_path / ARCHIVE, tmp_path / FOLDER
    archive.write_bytes(published.content)
    folder.mkdir()
    (folder / "first").write_bytes(b"")
    download.unpack(archive, folder, dict.fromkeys(tiny_files("cifar10")))
    assert left_in(folder) == {"first"}
    assert left_in(tmp_path) == {ARCHIVE, FOLDER}
