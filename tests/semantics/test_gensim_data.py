"""Downloads by gensim-data name, against a server on this machine."""

import functools
import gzip
import hashlib
import http.server
import json
import logging
import threading
from pathlib import Path

import numpy as np
import pytest
import vector_writers as writers

from ffdwv_fast.errors import InputError
from ffdwv_fast.semantics import class_vectors

NAME, PARTED = "tiny-vectors-3", "tiny-parted-3"
CONTENT = gzip.compress(writers.binary())
HALVES = [CONTENT[:50], CONTENT[50:]]
# gensim-data keeps a Python module beside every file; running this one is a failure.
MODULE = "raise SystemExit('the downloaded module was run')\n"


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


class _Handler(http.server.SimpleHTTPRequestHandler):
    requested: list[str] = []  # noqa: RUF012

    def do_GET(self):
        self.requested.append(self.path)
        super().do_GET()

    def log_message(self, *args):
        pass


@pytest.fixture
def site(tmp_path):
    """The folder that the server serves."""
    listed = {
        "corpora": {"tiny-text": {"file_name": "tiny-text.gz", "parts": 1, "checksum": "0"}},
        "models": {
            NAME: {
                "file_name": f"{NAME}.gz",
                "parts": 1,
                "checksum": md5(CONTENT),
            },
            PARTED: {
                "file_name": f"{PARTED}.gz",
                "parts": 2,
                **{f"checksum-{part}": md5(half) for part, half in enumerate(HALVES)},
            },
        },
    }
    site = tmp_path / "site"
    files = {
        "list.json": json.dumps(listed).encode(),
        f"{NAME}/{NAME}.gz": CONTENT,
        **{f"{PARTED}/{PARTED}.gz_0{part}": half for part, half in enumerate(HALVES)},
    }
    for name, content in files.items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_bytes(content)
    for name in (NAME, PARTED):
        (site / name / "__init__.py").write_text(MODULE)
    return site


@pytest.fixture
def server(site):
    _Handler.requested.clear()
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(_Handler, directory=str(site))
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def base(tmp_path, monkeypatch) -> Path:
    """The folder that gensim downloads to."""
    from gensim import downloader

    folder = tmp_path / "gensim-data"
    monkeypatch.setattr(downloader, "BASE_DIR", str(folder))
    return folder


@pytest.fixture
def online(server, base, monkeypatch) -> Path:
    """The download folder, with the server standing for gensim-data."""
    _point_to(server, monkeypatch)
    return base


@pytest.fixture
def offline(base, monkeypatch) -> Path:
    """The download folder, with a port where nobody listens standing for gensim-data."""
    _point_to("http://127.0.0.1:9", monkeypatch)
    return base


def _point_to(url: str, monkeypatch) -> None:
    from gensim import downloader

    monkeypatch.setattr(downloader, "DATA_LIST_URL", f"{url}/list.json")
    monkeypatch.setattr(downloader, "DOWNLOAD_BASE_URL", url)
    # The address of the list is also the default value of an argument.
    monkeypatch.setattr(downloader._load_info, "__defaults__", (f"{url}/list.json", "utf-8"))


def _remains(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.name != "information.json")


@pytest.mark.parametrize("name", [NAME, PARTED])
def test_a_name_is_downloaded_and_read(name, online, capsys):
    got = class_vectors(["cat", "fire_truck"], name)
    np.testing.assert_array_equal(got, np.array([[0.1, 2, -3.5], [5, 5, 5]], np.float32))
    assert _remains(online) == [name]
    captured = capsys.readouterr()
    assert "MB downloaded" in captured.err  # the progress bar
    assert captured.out == ""


def test_a_second_call_asks_the_network_for_nothing(online):
    class_vectors(["cat", "dog"], NAME)
    _Handler.requested.clear()
    class_vectors(["cat", "ship"], NAME, aliases={"ship": "sea"})
    assert _Handler.requested == []


def test_an_unknown_name_is_refused(online):
    with pytest.raises(
        InputError, match=r"no such name; `python -m gensim.downloader --info name`"
    ):
        class_vectors(["cat"], "tiny-vectors-4")
    assert _remains(online) == []


def test_a_text_corpus_is_refused(online):
    with pytest.raises(InputError, match="a text corpus, no word vectors"):
        class_vectors(["cat"], "tiny-text")


@pytest.mark.parametrize("name", [NAME, PARTED])
def test_a_wrong_checksum_is_refused_and_leaves_nothing(name, online, site):
    [*_, damaged] = sorted((site / name).glob("*.gz*"))
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    with pytest.raises(InputError, match=r"does not match its checksum.*by hand.*glove-6b-50d"):
        class_vectors(["cat"], name)
    assert _remains(online) == []


def test_after_a_failure_the_next_try_succeeds(online, site):
    good = (site / NAME / f"{NAME}.gz").read_bytes()
    (site / NAME / f"{NAME}.gz").write_bytes(b"broken")
    with pytest.raises(InputError):
        class_vectors(["cat"], NAME)
    (site / NAME / f"{NAME}.gz").write_bytes(good)
    assert class_vectors(["dog"], NAME).tolist() == [[0.25, 1.5, -3.0]]


def test_a_file_that_the_server_lacks_is_refused_and_leaves_nothing(
    online, site, tmp_path, monkeypatch
):
    (tmp_path / "system").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "system"))
    (site / NAME / f"{NAME}.gz").unlink()
    with pytest.raises(InputError, match=r"404.*by hand") as caught:
        class_vectors(["cat"], NAME)
    assert "\n" not in str(caught.value)
    assert _remains(online) == []
    assert list((tmp_path / "system").iterdir()) == []


@pytest.mark.parametrize("remains", [f"{NAME}_tmp", NAME])
def test_what_an_interrupted_download_left_is_cleared(remains, online):
    (online / remains).mkdir(parents=True)
    if remains != NAME:
        (online / remains / "half").write_bytes(b"half")
    assert class_vectors(["dog"], NAME).tolist() == [[0.25, 1.5, -3.0]]
    assert _remains(online) == [NAME]


def test_a_folder_without_its_file_is_refused_with_the_way_out(online):
    (online / NAME).mkdir(parents=True)
    (online / NAME / "__init__.py").write_text(MODULE)
    with pytest.raises(InputError, match=f"is missing: remove the folder .*{NAME} and try again"):
        class_vectors(["cat"], NAME)


def test_without_network_the_message_says_what_to_do(offline, caplog, capfd):
    with pytest.raises(InputError, match=r"cannot be reached.*by hand.*glove-6b-50d") as caught:
        class_vectors(["cat"], NAME)
    assert "\n" not in str(caught.value)
    assert caplog.records == []
    assert "Traceback" not in capfd.readouterr().err
    assert _remains(offline) == []


def test_without_network_a_listed_name_that_was_not_downloaded_is_refused(offline, site):
    offline.mkdir()
    (offline / "information.json").write_bytes((site / "list.json").read_bytes())
    with pytest.raises(InputError, match=r"cannot be reached.*by hand"):
        class_vectors(["cat"], NAME)


def test_a_list_that_is_no_json_is_refused(online, site):
    (site / "list.json").write_text("<html>sign in to the hotel's network</html>")
    with pytest.raises(InputError, match=r"failed.*by hand"):
        class_vectors(["cat"], NAME)


def test_a_download_folder_that_cannot_be_made_is_refused(online):
    online.write_text("a file in the way")
    with pytest.raises(InputError, match="by hand"):
        class_vectors(["cat"], NAME)


def test_the_settings_of_the_process_are_as_before(offline):
    import socket
    import sys
    import tempfile

    before = (socket.getdefaulttimeout(), tempfile.tempdir, sys.stdout)
    level = logging.getLogger("gensim.downloader").level
    with pytest.raises(InputError):
        class_vectors(["cat"], NAME)
    assert before == (socket.getdefaulttimeout(), tempfile.tempdir, sys.stdout)
    assert logging.getLogger("gensim.downloader").level == level
