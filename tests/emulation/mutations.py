"""Deliberate faults in the CUDA kernels, and the emulation test that has to catch each.

    python -m tests.emulation.mutations [NAME ...]

Every fault is one replacement in a copy of csrc/; the emulation is built from the copy and the
named test must fail, while the unchanged source passes. About a minute per fault.
"""

import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
TESTS = "tests/emulation"


class Fault(NamedTuple):
    """A replacement in one file, and the test that catches it."""

    file: str
    right: str
    wrong: str
    test: str


FAULTS = {
    "barrier dropped after the warps' sums are put": Fault(
        "cuda/group.cuh",
        "Lanes::sum(values[i]));\n    }\n    __syncthreads();",
        "Lanes::sum(values[i]));\n    }",
        "test_kernels.py::test_any_order_of_threads_and_blocks",
    ),
    "barrier dropped before shared memory is used again": Fault(
        "cuda/group.cuh",
        ": largest;\n    }\n    __syncthreads();",
        ": largest;\n    }",
        "test_variants.py::test_any_order_of_threads_and_blocks",
    ),
    "mask of the whole warp for a part of it": Fault(
        "cuda/group.cuh",
        "return ((1u << kLanes) - 1u) << first;",
        "return 0xffffffffu;",
        "test_kernels.py::test_every_width_to_130",
    ),
    "last step of the lanes' sum left out": Fault(
        "cuda/group.cuh",
        "for (int offset = kLanes / 2; offset > 0; offset /= 2) {\n      value +=",
        "for (int offset = kLanes / 2; offset > 1; offset /= 2) {\n      value +=",
        "test_kernels.py::test_every_width_to_130",
    ),
    "tail read beyond the row": Fault(
        "cuda/row_access.cuh",
        "out[v] = j + v < size ?",
        "out[v] = j + v <= size ?",
        "test_kernels.py::test_every_width_to_130",
    ),
    "tail of the gradient not written": Fault(
        "cuda/row_access.cuh",
        "if (j + v < size) {\n        start[",
        "if (j + v + 1 < size) {\n        start[",
        "test_kernels.py::test_every_width_to_130",
    ),
    "vector load where the row is not aligned": Fault(
        "cuda/row_access.cuh",
        "return stride == 1 && reinterpret_cast",
        "return stride == 1 || reinterpret_cast",
        "test_kernels.py::test_every_layout",
    ),
    "sums not rescaled to the common maximum": Fault(
        "cuda/row_math.cuh",
        "sums_.shift(max_ - max);",
        "",
        "test_kernels.py::test_tier_edges",
    ),
    "running sums not rescaled to a new maximum": Fault(
        "cuda/row_math.cuh",
        "sums_.shift(delta);",
        "",
        "test_kernels.py::test_tier_edges",
    ),
    "blocks beyond the first tile skipped": Fault(
        "cuda/kernels.cuh",
        "tile += gridDim.x",
        "tile += tiles",
        "test_kernels.py::test_rows_beyond_the_grid",
    ),
    "sum over blocks by whichever block comes first": Fault(
        "cuda/reduction.cuh",
        "== gridDim.x - 1;",
        "== 0;",
        "test_kernels.py::test_rows_beyond_the_grid",
    ),
    "divisor counts ignored rows": Fault(
        "cuda/reduction.cuh",
        "mine += a.label(i) != a.ignore_index;",
        "mine += 1;",
        "test_kernels.py::test_rows_counted_in_a_launch_of_their_own",
    ),
    "gradient of ignored rows left unwritten": Fault(
        "cuda/row_visit.cuh",
        "if (a.grad != nullptr) {",
        "if (a.grad != nullptr && !is_ignored) {",
        "test_kernels.py::test_reductions_weights_and_ignored_rows",
    ),
    "label's entry written by another thread": Fault(
        "cuda/kernels.cuh",
        "visit.label_column() / kVector % Group::kSize",
        "(visit.label_column() / kVector + 1) % Group::kSize",
        "test_kernels.py::test_any_order_of_threads_and_blocks",
    ),
    "row of the soft targets picked by the label": Fault(
        "cuda/row_visit.cuh",
        "a.soft_by_row ? row : label",
        "label",
        "test_variants.py::test_every_width_to_130",
    ),
    "teacher's logits beyond the row count as 0": Fault(
        "cuda/kernels.cuh",
        "Visit::kHasTeacher ? minus_infinity<Value>() : Value(0)",
        "Value(0)",
        "test_variants.py::test_every_width_to_130",
    ),
    "teacher's sums not rescaled to a new maximum": Fault(
        "cuda/row_math.cuh",
        "raise(teacher_max_, z, [&](Value delta) { sums_.shift_teacher(delta * cold_); });",
        "raise(teacher_max_, z, [&](Value) {});",
        "test_variants.py::test_tier_edges",
    ),
    "student's sums not rescaled to the common maximum": Fault(
        "cuda/row_math.cuh",
        "sums_.shift_student(max_ - max, (max_ - max) * cold_);",
        "",
        "test_variants.py::test_tier_edges",
    ),
    "scale of the gradient left out": Fault(
        "cuda/row_visit.cuh",
        "factor * a.grad_scale",
        "factor",
        "test_variants.py::test_temperatures_and_gradient_scales",
    ),
    "image cropped one row too low": Fault(
        "images.h",
        "top(job.offset_y[b] - job.padding)",
        "top(job.offset_y[b] - job.padding + 1)",
        "test_images.py::test_every_crop_and_flip",
    ),
    "image mirrored about the wrong column": Fault(
        "images.h",
        "width - 1 - column",
        "width - column",
        "test_images.py::test_every_crop_and_flip",
    ),
    "quotient of a pixel left as the reciprocal gives it": Fault(
        "images.h",
        "return fmaf(fmaf(-divisor, quotient, numerator), reciprocal, quotient);",
        "return quotient;",
        "test_images.py::test_every_pixel_value_is_rounded_as_a_division_is",
    ),
    "image that begins within a vector taken for the one before": Fault(
        "cuda/images.cuh",
        "++b_;\n      begin_image();",
        "++b_;\n      source_ = crop_.source(row_, column_);",
        "test_images.py::test_every_crop_and_flip",
    ),
    "tail of the last images not written": Fault(
        "cuda/images.cuh",
        "position < values;",
        "position + kVector <= values;",
        "test_images.py::test_batches_around_the_edges_of_a_block",
    ),
}


def build(source: Path, module: Path) -> None:
    """Compile the emulation module from a copy of csrc/."""
    import pybind11
    import torch

    include = [
        *(f"-I{Path(torch.__file__).parent / 'include'}", f"-I{pybind11.get_include()}"),
        f"-I{sysconfig.get_paths()['include']}",
    ]
    flags = ["-std=c++20", "-O1", "-Wno-unknown-pragmas", "-shared", "-fPIC", "-fvisibility=hidden"]
    command = ["c++", *flags, *include, str(source / "emulation/module.cpp"), "-o", str(module)]
    subprocess.run(command, check=True)


def passes(folder: Path, test: str) -> bool:
    """Whether the test passes with the module in a copy of the tests."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", f"{TESTS}/{test}"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    if done.returncode not in (0, 1):
        raise SystemExit(f"the test {test} did not run:\n{done.stdout}{done.stderr}")
    return done.returncode == 0


def is_caught(fault: Fault) -> bool:
    """Build with the fault, run its test."""
    with tempfile.TemporaryDirectory(prefix="mutation-") as temporary:
        folder = Path(temporary)
        shutil.copytree(ROOT / "csrc", folder / "csrc")
        ignored = shutil.ignore_patterns("*.so", "__pycache__")
        shutil.copytree(ROOT / "tests", folder / "tests", ignore=ignored)
        file = folder / "csrc" / fault.file
        text = file.read_text()
        if fault.right not in text:
            raise SystemExit(f"{fault.file} has changed: {fault.right!r} is not in it")
        file.write_text(text.replace(fault.right, fault.wrong))
        suffix = sysconfig.get_config_var("EXT_SUFFIX")
        build(folder / "csrc", folder / "tests" / "emulation" / f"_emulation{suffix}")
        return not passes(folder, fault.test)


def main() -> None:
    """Try the faults; exit with 1 if one is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="faults to try (default: all)")
    names = parser.parse_args().names or list(FAULTS)
    missed = []
    for number, name in enumerate(names, 1):
        caught = is_caught(FAULTS[name])
        verdict = "caught" if caught else "MISSED"
        print(f"{number}/{len(names)}  {verdict}: {name}, by {FAULTS[name].test}", flush=True)
        missed += [] if caught else [name]
    raise SystemExit(1 if missed else 0)


if __name__ == "__main__":
    main()
