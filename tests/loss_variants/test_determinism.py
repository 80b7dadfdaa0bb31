"""The same bits for any number of threads and, where both fuse, any instruction set."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ffdwv_fast import ffdwv_loss
from tests.loss.cases import assert_identical, gradient_of, make_case
from tests.loss_variants.cases import KINDS, autograd_of, make_variant

ROOT = Path(__file__).resolve().parents[2]
SHAPES = ((40, 7), (40, 16), (40, 17), (40, 100), (40, 1000), (2, 30_000))
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


def all_results() -> dict[str, list[torch.Tensor]]:
    """Loss, parts and gradient of each kind, dtype and shape."""
    found = {}
    for (n, c), dtype in itertools.product(SHAPES, DTYPES):
        if c <= 1000:
            case = make_case(n, c, dtype)
            parts, grad = gradient_of(case, ffdwv_loss)
            found[f"similarity {n} {c} {dtype}"] = [*parts, grad]
        for kind in KINDS:
            parts, grad = autograd_of(make_variant(kind, n, c, dtype))
            found[f"{kind} {n} {c} {dtype}"] = [*parts, grad]
    return found


@pytest.fixture(scope="module")
def results_of(tmp_path_factory):
    """all_results() of a process of its own, by instruction set."""
    folder = tmp_path_factory.mktemp("results")
    known = {}

    def results(isa: str):
        if isa not in known:
            path = folder / f"{isa}.pt"
            code = (
                "import torch; from tests.loss_variants.test_determinism import all_results; "
                f"torch.save(all_results(), {str(path)!r})"
            )
            done = run_with(isa, code)
            if "on this processor it can be" in done.stderr:
                pytest.skip(f"this processor has no {isa}")
            assert done.returncode == 0, done.stderr
            known[isa] = torch.load(path)
        return known[isa]

    return results


def run_with(isa: str, code: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"FFDWV_CPU_ISA": isa},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.cpu_only("instruction sets are the CPU's")
def test_avx2_and_avx512_give_the_same_bits(results_of):
    assert_identical(results_of("avx2"), results_of("avx512"))


# Without fused multiply-add an exponential is off by one unit more in its last place; a gradient of
# a narrow dtype may then be rounded to its other neighbour.
BASELINE = {
    torch.float32: 2**-21,
    torch.float64: 2**-49,
    torch.bfloat16: 2**-7,
    torch.float16: 2**-10,
}


@pytest.mark.cpu_only("instruction sets are the CPU's")
def test_the_baseline_differs_in_the_last_places(results_of):
    want, got = results_of("avx2"), results_of("baseline")
    for name, tensors in got.items():
        *parts, grad = tensors
        # A teacher's term has 16 times the error of a divergence.
        bound = BASELINE[torch.float64 if "float64" in name else torch.float32] * 16
        torch.testing.assert_close(parts, want[name][:-1], rtol=bound, atol=bound)
        scale = float(want[name][-1].double().abs().max())
        torch.testing.assert_close(
            grad, want[name][-1], rtol=BASELINE[grad.dtype], atol=bound * scale, msg=name
        )


@pytest.mark.cpu_only("threads are the CPU's")
def test_any_number_of_threads_gives_the_same_bits():
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        want = large_results()
        for count in (2, 3, 5):
            torch.set_num_threads(count)
            assert_identical(large_results(), want, f"{count} threads")
    finally:
        torch.set_num_threads(threads)


def large_results() -> list[torch.Tensor]:
    """Of inputs that are shared out among threads."""
    found = []
    for kind, (n, c) in itertools.product(KINDS, ((6000, 10), (1000, 100), (20, 20_000))):
        parts, grad = autograd_of(make_variant(kind, n, c))
        found += [*parts, grad]
    return found


@pytest.mark.cpu_only("instruction sets are the CPU's")
def test_an_unknown_instruction_set_is_refused_in_one_line():
    code = (
        "import torch; from ffdwv_fast import ffdwv_loss, InputError\n"
        "try: ffdwv_loss(torch.zeros(1, 2), torch.zeros(1, dtype=torch.int64), None)\n"
        "except InputError as error: print(error)"
    )
    done = run_with("sse9", code)
    assert done.stdout.startswith(
        "ffdwv_loss: FFDWV_CPU_ISA is 'sse9'; on this processor it can be"
    )
    assert done.stdout.count("\n") == 1
