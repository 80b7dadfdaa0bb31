"""Downloads, against a server on this machine that fails in every way."""

import hashlib
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ffdwv_fast import https
from ffdwv_fast.https import DownloadError, Part, download, download_bytes
from tests.file_server import FileServer
from tests.little_disk import little_disk

CONTENT = os.urandom(300_000)
HALVES = CONTENT[:150_000], CONTENT[150_000:]
FOREVER = [503] * 10


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def server(monkeypatch):
    for variable in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(variable, "127.0.0.1")
    server = FileServer({"/file": CONTENT, "/a": HALVES[0], "/b": HALVES[1]})
    yield server
    server.close()


@pytest.fixture(autouse=True)
def waited(monkeypatch) -> list[float]:
    """The pauses between attempts, in seconds, none of which is made."""
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    return pauses


def part(server: FileServer, **changes) -> Part:
    fields = {"url": f"{server.url}/file", "most_bytes": len(CONTENT), "checksum": sha256(CONTENT)}
    return Part(**{**fields, **changes})


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    "failures",
    [[], [503], [500, 429], ["half"], ["unsized half", "half"], ["stall"], [502, "half", 503]],
    ids=str,
)
def test_what_passes_is_tried_again(failures, server, tmp_path, monkeypatch, waited):
    monkeypatch.setattr(https, "TIMEOUT_SECONDS", 0.3)
    server.replies = list(failures)
    download([part(server)], tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == CONTENT
    assert names_in(tmp_path) == ["got"]
    assert len(server.requests) == len(failures) + 1
    assert waited == [1, 2, 4][: len(failures)]


def test_each_failed_attempt_is_told_in_a_line(server, tmp_path, capsys):
    server.replies = [503]
    download([part(server)], tmp_path / "got")
    told = f"{server.url}/file: the server answers 503 Service Unavailable; next attempt in 1 s\n"
    assert told in capsys.readouterr().err


# what befalls every request -> the reason given, and the number of requests
LASTING = {
    "not there": ([404], "the server answers 404 Not Found", 1),
    "forbidden": ([403], "the server answers 403 Forbidden", 1),
    "unavailable": (FOREVER, "the server answers 503 Service Unavailable", 4),
    "broken off": (["half"] * 4, r"150000 bytes read|ended after 150000 of 300000 bytes", 4),
    "broken off, unsized": (["unsized half"] * 4, "the sha256 is .*, expected ", 4),
    "silent": (["stall"] * 4, "timed out", 4),
    "endless": (["endless"], "sends more than the 300000 bytes expected", 1),
    "redirect to http": (["http://example.com/file"], "http://example.com/file is not https", 1),
    "redirect to a file": (["file:///etc/passwd"], "file:///etc/passwd is not https", 1),
}


@pytest.mark.parametrize("case", LASTING)
def test_what_lasts_is_given_up_and_leaves_what_was_there(case, server, tmp_path, monkeypatch):
    monkeypatch.setattr(https, "TIMEOUT_SECONDS", 0.3)
    server.replies, reason, requests = LASTING[case]
    server.replies = list(server.replies)
    (tmp_path / "got").write_bytes(b"of old")
    with pytest.raises(DownloadError, match=reason) as caught:
        download([part(server)], tmp_path / "got")
    assert "\n" not in str(caught.value)
    assert len(server.requests) == requests
    assert names_in(tmp_path) == ["got"]
    assert (tmp_path / "got").read_bytes() == b"of old"


def test_wrong_content_is_refused_at_once(server, tmp_path):
    wrong = bytes(len(CONTENT))
    server.files["/file"] = wrong
    expected = f"the sha256 is {sha256(wrong)}, expected {sha256(CONTENT)}"
    with pytest.raises(DownloadError, match=expected):
        download([part(server)], tmp_path / "got")
    assert len(server.requests) == 1
    assert names_in(tmp_path) == []


def test_no_server(server, tmp_path, waited):
    server.close()
    with pytest.raises(DownloadError, match="refused") as caught:
        download([part(server)], tmp_path / "got")
    assert "\n" not in str(caught.value)
    assert waited == [1, 2, 4]
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("url", ["http://example.com/x", "ftp://127.0.0.1/x", "file:///etc/passwd"])
def test_only_https_is_asked(url, tmp_path, monkeypatch):
    monkeypatch.setattr("socket.socket", None)
    with pytest.raises(DownloadError, match="is not https: refused"):
        download([Part(url, 100)], tmp_path / "got")


def test_a_certificate_that_is_not_valid_is_not_tried_again(server, waited, monkeypatch):
    import requests

    def unverified(*args, **kwargs):
        raise requests.exceptions.SSLError("certificate verify failed")

    monkeypatch.setattr(requests, "get", unverified)
    with pytest.raises(DownloadError, match="certificate verify failed"):
        download_bytes(part(server))
    assert waited == []


def test_parts_are_joined_and_only_the_one_that_failed_is_fetched_again(server, tmp_path):
    parts = [
        part(server, url=f"{server.url}/{name}", checksum=sha256(half))
        for name, half in zip("ab", HALVES, strict=True)
    ]
    server.replies = ["whole", "half"]
    download(parts, tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == CONTENT
    assert server.requests == ["/a", "/b", "/b"]


def test_a_small_file_without_checksum(server):
    server.replies = ["half"]
    assert download_bytes(part(server, checksum=None)) == CONTENT


def test_a_content_encoding_that_nobody_asked_for_is_not_undone(server, tmp_path, monkeypatch):
    from http.server import BaseHTTPRequestHandler

    true_send = BaseHTTPRequestHandler.end_headers

    def end_headers(self):
        self.send_header("Content-Encoding", "gzip")
        true_send(self)

    monkeypatch.setattr(BaseHTTPRequestHandler, "end_headers", end_headers)
    download([part(server)], tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == CONTENT


FETCH = """
import sys
from pathlib import Path
from ffdwv_fast.https import Part, download
download([Part(sys.argv[1], 1 << 30)], Path(sys.argv[2]))
"""


def test_a_killed_process_leaves_nothing_under_the_final_name(server, tmp_path):
    server.replies = ["stall"]
    argv = [sys.executable, "-c", FETCH, f"{server.url}/file", str(tmp_path / "got")]
    process = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not names_in(tmp_path) and process.poll() is None and time.monotonic() < deadline:
        threading.Event().wait(0.05)
    process.kill()
    process.wait()
    [left] = names_in(tmp_path)
    assert left.startswith(".got.")
    download([part(server)], tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == CONTENT


def test_a_disk_that_is_full_is_told_and_loses_nothing(server, tmp_path):
    (tmp_path / "got").write_bytes(b"of old")
    message = f"{tmp_path / 'got'} cannot be written: File too large"
    with pytest.raises(DownloadError, match=message), little_disk(100_000):
        download([part(server)], tmp_path / "got")
    assert names_in(tmp_path) == ["got"]
    assert (tmp_path / "got").read_bytes() == b"of old"
    assert len(server.requests) == 1
