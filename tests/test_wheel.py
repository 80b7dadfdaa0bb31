"""What a wheel of this tree holds, and a source distribution, packed without building anything."""

import base64
import hashlib
import re
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from ffdwv_fast.native import LIBRARY
from tests.commands import ROOT

pytest.importorskip("setuptools")
needs_library = pytest.mark.skipif(not LIBRARY.exists(), reason="the library is not built")


def packed(library: Path, folder: Path) -> Path:
    """The wheel of this tree with a library that is built already.

    Args:
        library: what CMake has made.
        folder: an empty one to work in.
    """
    _copy_tree(folder)
    built = folder / "built"
    (built / "ffdwv_fast").mkdir(parents=True)
    (built / "ffdwv_fast" / LIBRARY.name).symlink_to(library)
    (folder / "setup.cfg").write_text(f"[build]\nbuild_lib = {built}\n")
    _setup(folder, "build_py", "bdist_wheel", "--skip-build")
    (wheel,) = (folder / "dist").iterdir()
    return wheel


def _copy_tree(folder: Path) -> None:
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE", "MANIFEST.in"):
        shutil.copy(ROOT / name, folder)
    for name in ("CMakeLists.txt", "csrc", "tests"):
        (folder / name).symlink_to(ROOT / name)
    shutil.copytree(
        ROOT / "ffdwv_fast", folder / "ffdwv_fast", ignore=shutil.ignore_patterns("__pycache__")
    )


def _setup(folder: Path, *commands: str) -> None:
    done = subprocess.run(
        [sys.executable, "setup.py", "-q", *commands],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return packed(LIBRARY, tmp_path_factory.mktemp("wheel"))


@needs_library
def test_the_wheel_is_for_every_python_and_this_platform(wheel):
    assert re.fullmatch(r"ffdwv_fast-[\d.]+-py3-none-linux_\w+\.whl", wheel.name)
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/WHEEL"))
        says = Parser().parsestr(archive.read(name).decode())
    assert says["Root-Is-Purelib"] == "false"
    assert says.get_all("Tag") == [wheel.stem.split("-", 2)[2]]


@needs_library
def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    package = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "ffdwv_fast").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".so"
    }
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        about = {name.partition("/")[2] for name in archive.namelist() if name not in names}
    assert names == package | {f"ffdwv_fast/{LIBRARY.name}"}
    assert "ffdwv_fast/py.typed" in names
    assert about == {"METADATA", "RECORD", "WHEEL", "top_level.txt", "licenses/LICENSE"}


@needs_library
def test_the_wheel_has_the_library_as_it_was_built(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/RECORD"))
        records = archive.read(name).decode().splitlines()
    (record,) = (line for line in records if line.startswith(f"ffdwv_fast/{LIBRARY.name},"))
    digest = base64.urlsafe_b64encode(hashlib.sha256(LIBRARY.read_bytes()).digest())
    assert record.split(",")[1] == f"sha256={digest.decode().rstrip('=')}"


@needs_library
def test_torch_is_all_that_the_plain_installation_asks_for(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        says = Parser().parsestr(archive.read(name).decode())
    plain = [text for text in says.get_all("Requires-Dist") if "extra ==" not in text]
    assert plain == ["torch>=2.11"]
    assert says["Requires-Python"] == ">=3.10"
    assert {"train", "dali", "export", "report", "dev"} <= set(says.get_all("Provides-Extra"))


@needs_library
@pytest.mark.skipif(shutil.which("nm") is None, reason="needs nm of binutils")
def test_the_library_asks_for_nothing_of_python():
    done = subprocess.run(["nm", "--dynamic", LIBRARY], capture_output=True, text=True, check=True)
    symbols = {line.split()[-1].partition("@")[0] for line in done.stdout.splitlines()}
    assert "ffdwv_fast_build_info" in symbols
    assert [name for name in symbols if re.match(r"_?Py", name)] == []


def test_the_source_distribution_can_be_built_from(tmp_path):
    _copy_tree(tmp_path)
    _setup(tmp_path, "sdist", "--formats=zip")
    (archive,) = (tmp_path / "dist").iterdir()
    with zipfile.ZipFile(archive) as content:
        names = {name.partition("/")[2] for name in content.namelist()}
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "csrc").rglob("*") if path.is_file()}
    assert sources | {"CMakeLists.txt", "setup.py", "pyproject.toml", "LICENSE"} <= names
    assert [name for name in names if name.endswith(".so")] == []
