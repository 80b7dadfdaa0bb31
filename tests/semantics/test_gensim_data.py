"""Downloads by gensim-data name, against a server on this machine."""

import gzip
import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import vector_writers as writers

from ffdwv_fast import https
from ffdwv_fast.errors import InputError
from ffdwv_fast.semantics import class_vectors, gensim_data
from tests.file_server import FileServer

NAME, PARTED = "tiny-vectors-3", "tiny-parted-3"
CONTENT = gzip.compress(writers.binary())
HALVES = [CONTENT[:50], CONTENT[50:]]
LIST, FILES = "/list.json", {NAME: f"/{NAME}/{NAME}.gz"}
# gensim-data keeps a Python module beside every file; running this one is a failure.
MODULE = b"raise SystemExit('the downloaded module was run')\n"


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


@pytest.fixture
def server():
    """Stands for gensim-data."""
    listed = {
        "corpora": {"tiny-text": {"file_name": "tiny-text.gz", "parts": 1, "checksum": "0"}},
        "models": {
            NAME: {"file_name": f"{NAME}.gz", "parts": 1, "checksum": md5(CONTENT)},
            PARTED: {
                "file_name": f"{PARTED}.gz",
                "parts": 2,
                **{f"checksum-{part}": md5(half) for part, half in enumerate(HALVES)},
            },
        },
    }
    files = {
        LIST: json.dumps(listed).encode(),
        FILES[NAME]: CONTENT,
        **{f"/{PARTED}/{PARTED}.gz_0{part}": half for part, half in enumerate(HALVES)},
        **{f"/{name}/__init__.py": MODULE for name in (NAME, PARTED)},
    }
    server = FileServer(files)
    yield server
    server.close()


@pytest.fixture
def base(tmp_path, monkeypatch) -> Path:
    """The folder that gensim downloads to."""
    folder = tmp_path / "gensim-data"
    monkeypatch.setenv("GENSIM_DATA_DIR", str(folder))
    monkeypatch.setattr(https, "RETRY_DELAYS_SECONDS", (0,))
    for variable in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(variable, "127.0.0.1")
    return folder


@pytest.fixture
def online(server, base, monkeypatch) -> Path:
    """The download folder, with the server standing for gensim-data."""
    _point_to(server.url, monkeypatch)
    return base


@pytest.fixture
def offline(base, monkeypatch) -> Path:
    """The download folder, with a port where nobody listens standing for gensim-data."""
    _point_to("http://127.0.0.1:9", monkeypatch)
    return base


def _point_to(url: str, monkeypatch) -> None:
    monkeypatch.setattr(gensim_data, "LIST_URL", f"{url}{LIST}")
    monkeypatch.setattr(gensim_data, "FILES_URL", url)


def _files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


@pytest.mark.parametrize("name", [NAME, PARTED])
def test_a_name_is_downloaded_and_read(name, online, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    got = class_vectors(["cat", "fire_truck"], name)
    np.testing.assert_array_equal(got, np.array([[0.1, 2, -3.5], [5, 5, 5]], np.float32))
    assert _files(online) == [f"ffdwv_fast/{name}.gz"]
    captured = capsys.readouterr()
    assert "100%" in captured.err  # the progress bar
    assert captured.out == ""


def test_a_second_call_asks_the_network_for_nothing(online, server):
    class_vectors(["cat", "dog"], NAME)
    server.requests.clear()
    class_vectors(["cat", "ship"], NAME, aliases={"ship": "sea"})
    assert server.requests == []


def test_what_gensim_has_downloaded_is_used(offline):
    (offline / NAME).mkdir(parents=True)
    (offline / NAME / f"{NAME}.gz").write_bytes(CONTENT)
    assert class_vectors(["dog"], NAME).tolist() == [[0.25, 1.5, -3.0]]


def test_the_addresses_are_gensims():
    from gensim import downloader

    assert gensim_data.LIST_URL == downloader.DATA_LIST_URL
    assert gensim_data.FILES_URL == downloader.DOWNLOAD_BASE_URL


def test_the_module_beside_the_file_is_not_even_downloaded(online, server):
    class_vectors(["dog"], NAME)
    assert server.requests == [LIST, FILES[NAME]]


def test_an_unknown_name_is_refused(online):
    with pytest.raises(
        InputError, match=r"no such name; `python -m gensim.downloader --info name`"
    ):
        class_vectors(["cat"], "tiny-vectors-4")
    assert not online.exists()


def test_a_text_corpus_is_refused(online):
    with pytest.raises(InputError, match="a text corpus, no word vectors"):
        class_vectors(["cat"], "tiny-text")


@pytest.mark.parametrize("name", [NAME, PARTED])
def test_a_wrong_checksum_is_refused_and_leaves_nothing(name, online, server):
    *_, damaged = sorted(path for path in server.files if path.startswith(f"/{name}/{name}.gz"))
    server.files[damaged] = server.files[damaged][:-1] + b"?"
    with pytest.raises(InputError, match=r"the md5 is .*, expected .*by hand.*glove-6b-50d"):
        class_vectors(["cat"], name)
    assert _files(online) == []


@pytest.mark.parametrize("reply", [404, 503, "half"])
def test_after_a_failure_nothing_is_left_and_the_next_try_succeeds(reply, online, server):
    server.replies = ["whole", reply, reply]
    with pytest.raises(
        InputError, match=r"the download from gensim-data failed .*by hand"
    ) as caught:
        class_vectors(["cat"], NAME)
    assert "\n" not in str(caught.value)
    assert _files(online) == []
    server.replies = []
    assert class_vectors(["dog"], NAME).tolist() == [[0.25, 1.5, -3.0]]


def test_without_network_the_message_says_what_to_do(offline, caplog, capfd):
    with pytest.raises(InputError, match=r"download .* failed .*by hand.*glove-6b-50d") as caught:
        class_vectors(["cat"], NAME)
    assert "\n" not in str(caught.value)
    assert caplog.records == []
    assert "Traceback" not in capfd.readouterr().err
    assert not offline.exists()


BAD_LISTS = {
    "no JSON": b"<html>sign in to the hotel's network</html>",
    "no dictionary": b"[]",
    "no models": b'{"corpora": {}}',
    "deep": b"[" * 100_000,
    "no checksum": b'{"corpora": {}, "models": {"%s": {"parts": 1}}}',
    "checksum of nothing": b'{"corpora": {}, "models": {"%s": {"parts": 1, "checksum": ""}}}',
    "checksum a number": b'{"corpora": {}, "models": {"%s": {"parts": 1, "checksum": 5}}}',
    "too many parts": b'{"corpora": {}, "models": {"%s": {"parts": 1000000000}}}',
    "parts of text": b'{"corpora": {}, "models": {"%s": {"parts": "2"}}}',
}


@pytest.mark.parametrize("case", BAD_LISTS)
def test_a_list_that_is_none_is_refused(case, online, server):
    server.files[LIST] = BAD_LISTS[case].replace(b"%s", NAME.encode())
    with pytest.raises(InputError, match=r"is not the list expected.*by hand"):
        class_vectors(["cat"], NAME)
    assert server.requests == [LIST]


def test_a_download_folder_that_cannot_be_made_is_refused(online):
    online.write_text("a file in the way")
    with pytest.raises(InputError, match=r"cannot be written.*by hand"):
        class_vectors(["cat"], NAME)
