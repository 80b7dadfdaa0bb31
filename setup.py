"""Hands CMake the interpreter and the version; CMakeLists.txt is the build definition."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
OP_LIBRARY = "ffdwv_fast.libffdwv_fast"


def tool(name: str) -> str:
    """The path of a build tool: the one of this interpreter's environment before the system's."""
    found = shutil.which(
        name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    )
    if found is None:
        raise SystemExit(f"{name} is not installed: pip install {name}")
    return found


class CMakeBuild(build_ext):
    """Builds the native library into the package folder: of the wheel, or of the checkout."""

    def get_ext_filename(self, fullname):
        """The library has no Python in it, and so no Python's suffix."""
        return fullname.replace(".", os.sep) + ".so"

    def build_extensions(self):
        """Build it with CMake."""
        output = Path(self.get_ext_fullpath(OP_LIBRARY)).resolve().parent
        build = ROOT / "build" / f"cmake-{sys.implementation.cache_tag}"
        build.mkdir(parents=True, exist_ok=True)
        configure = [
            *(tool("cmake"), "-S", str(ROOT), "-B", str(build), "-G", "Ninja"),
            f"-DCMAKE_MAKE_PROGRAM={tool('ninja')}",
            f"-DPython_EXECUTABLE={sys.executable}",
            f"-DFFDWV_OUTPUT_DIR={output}",
            f"-DFFDWV_VERSION={self.distribution.get_version()}",
            *os.environ.get("FFDWV_CMAKE_ARGS", "").split(),
        ]
        subprocess.run(configure, check=True)
        start = time.monotonic()
        subprocess.run([tool("cmake"), "--build", str(build)], check=True)
        size = (output / Path(self.get_ext_filename(OP_LIBRARY)).name).stat().st_size
        report = f"native library: {size / 1e6:.1f} MB, built in {time.monotonic() - start:.0f} s"
        (build / "report.txt").write_text(report + "\n")
        print(report)


class PlatformWheel(bdist_wheel):
    """One wheel for every Python: the library is loaded by torch and not imported."""

    def get_tag(self):
        """Any Python 3, no ABI of Python's, this platform."""
        return "py3", "none", super().get_tag()[2]


setup(
    ext_modules=[Extension(OP_LIBRARY, sources=[])],
    cmdclass={"build_ext": CMakeBuild, "bdist_wheel": PlatformWheel},
)
