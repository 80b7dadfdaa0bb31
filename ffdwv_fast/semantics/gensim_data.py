"""Vector files from gensim-data (https://github.com/piskvorky/gensim-data), by name."""

import json
import os
import re
from pathlib import Path

from ffdwv_fast.errors import InputError
from ffdwv_fast.https import DownloadError, Part, download, download_bytes

# gensim.downloader has these too, but takes seconds to import.
LIST_URL = "https://raw.githubusercontent.com/RaRe-Technologies/gensim-data/master/list.json"
FILES_URL = "https://github.com/RaRe-Technologies/gensim-data/releases/download"

_BY_HAND = (
    "place the vector file by hand and give its path; the bundled source glove-6b-50d needs none"
)
_MOST_LIST_BYTES = 1 << 24
_MOST_PART_BYTES = 1 << 34
_MOST_PARTS = 100


def downloaded_file(name: str) -> Path:
    """The vector file of a gensim-data name, downloaded with a progress bar if it is not there.

    It is looked for where gensim itself leaves it, and kept in a folder ``ffdwv_fast`` beside:
    ``$GENSIM_DATA_DIR``, else ``~/gensim-data``. Its checksum is the MD5 in gensim-data's list. The
    Python module that gensim-data publishes with every file is neither downloaded nor imported.

    Args:
        name: Such as ``"word2vec-google-news-300"``.

    Raises:
        InputError: For an unknown name and a download that fails.
    """
    base = Path(os.environ.get("GENSIM_DATA_DIR") or "~/gensim-data").expanduser()
    ours = base / "ffdwv_fast" / f"{name}.gz"
    for file in (ours, base / name / f"{name}.gz"):
        if os.path.isfile(file):
            return file
    try:
        download(_parts(name, download_bytes(Part(LIST_URL, _MOST_LIST_BYTES))), ours)
    except DownloadError as error:
        raise InputError(
            f"word vectors {name!r}: there is no such file, and the download from gensim-data "
            f"failed ({error}); {_BY_HAND}"
        ) from error
    return ours


def _parts(name: str, content: bytes) -> list[Part]:
    try:
        listed = json.loads(content)
        models, corpora = listed["models"], listed["corpora"]
        if name in models:
            return _listed_parts(name, models[name])
        problem = "a text corpus, no word vectors" if name in corpora else "no such name"
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DownloadError(f"{LIST_URL} is not the list expected") from error
    raise InputError(
        f"word vectors {name!r}: there is no such file, and in gensim-data it is {problem}; "
        f"`python -m gensim.downloader --info name` lists the names"
    )


def _listed_parts(name: str, entry: dict) -> list[Part]:
    url, count = f"{FILES_URL}/{name}/{name}.gz", entry["parts"]
    if type(count) is not int or not 1 <= count <= _MOST_PARTS:
        raise ValueError(f"{count!r} parts")
    if count == 1:
        checksums = {url: entry["checksum"]}
    else:
        checksums = {f"{url}_0{part}": entry[f"checksum-{part}"] for part in range(count)}
    if not all(re.fullmatch("[0-9a-f]{32}", checksum) for checksum in checksums.values()):
        raise ValueError("a checksum that is no MD5")
    return [Part(url, _MOST_PART_BYTES, "md5", checksum) for url, checksum in checksums.items()]
