"""Archives of data sets."""

import gzip
import shutil
from pathlib import Path

from ffdwv_fast.data import download
from tests.data.samples import make_archive
from tests.fuzz.target import Target, expect

SIZES = {"one.bin": 20, "names.txt": None}


def archive(folder: Path) -> Target:
    """The tar in a .tar.gz: it is compressed here, since few changes of a gzip file leave one."""
    packed, place = folder / "set.tar.gz", folder / "data" / "set"
    place.parent.mkdir()
    members = {"set/one.bin": bytes(range(20)), "set/names.txt": b"cat\n", "set/more": b"x"}

    def check(data: bytes) -> None:
        packed.write_bytes(gzip.compress(data, compresslevel=1))
        try:
            download.unpack(packed, place, SIZES)
            left = {file.name: file.stat().st_size for file in place.iterdir()}
            expect(left.keys() == SIZES.keys() and left["one.bin"] == 20, f"unpacked {left}")
        finally:
            shutil.rmtree(place, ignore_errors=True)
            beside = [path.name for path in (*folder.iterdir(), *place.parent.iterdir())]
            expect(sorted(beside) == ["data", "set.tar.gz"], f"written beside: {beside}")

    return Target([gzip.decompress(make_archive(members))], check)
