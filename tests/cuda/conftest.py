"""Where the tests of this folder run: on a GPU or, with `--device cpu`, as far as they go without.

The folder holds what only a GPU can show and, as imports, the tests of tests/loss and of
tests/loss_variants, which take their device from the fixture below. `--device cpu` leaves the
imported ones out: those folders have them.
"""

from pathlib import Path

import pytest
import torch

from ffdwv_fast.loss import op
from ffdwv_fast.native import BUILD_COMMAND

FOLDER = Path(__file__).parent
NO_KERNELS = (
    "there is a GPU, but the library has no CUDA kernels ({}); build them, in a checkout, with: "
    "FFDWV_CMAKE_ARGS=-DFFDWV_CUDA=ON " + BUILD_COMMAND
)
SAID_SO = pytest.StashKey[bool]()


@pytest.fixture(scope="session")
def device(pytestconfig) -> str:
    """Where the tensors of a test are."""
    return pytestconfig.getoption("--device")


def pytest_runtest_setup(item):
    # Skipped here and not by a fixture: so the summary has a line for each reason, not each test.
    wanted = item.config.getoption("--device")
    if wanted == "cuda":
        require_gpu(item.config.stash)
    for name, unfit in (("cpu_only", wanted != "cpu"), ("gpu_only", wanted == "cpu")):
        claim = item.get_closest_marker(name)
        if unfit and claim is not None:
            pytest.skip(f"{name}: {claim.args[0]}")


def require_gpu(stash: pytest.Stash) -> None:
    """Skip without a GPU; where the library has nothing to run on it, fail, once."""
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA GPU")
    if "cuda" not in op.NATIVE_DEVICES:
        message = NO_KERNELS.format(op.WHY_NOT_NATIVE or "built without them")
        if stash.get(SAID_SO, False):
            pytest.skip(message)
        stash[SAID_SO] = True
        pytest.fail(message, pytrace=False)  # a skip would pass for a success


def pytest_collection_modifyitems(config, items):
    if config.getoption("--device") != "cpu":
        return
    imported = [item for item in items if _is_imported(item)]
    items[:] = [item for item in items if not _is_imported(item)]
    config.hook.pytest_deselected(items=imported)


def _is_imported(item: pytest.Item) -> bool:
    if item.path.parent != FOLDER or not isinstance(item, pytest.Function):
        return False
    return item.function.__module__.startswith(("tests.loss.", "tests.loss_variants."))
