"""What bad input gets: one line that names the value, what is allowed and what to do."""

import math
import subprocess
import sys
import warnings

import pytest
import torch

import ffdwv_fast
from ffdwv_fast import FFDWVLoss, InputError, ffdwv_loss, native
from ffdwv_fast.loss import op
from tests.loss.cases import assert_loss_matches, make_case

CASE = make_case(4, 3)


def changed(i: int, j: int, value: float) -> torch.Tensor:
    similarity = CASE.similarity.clone()
    similarity[i, j] = value
    return similarity


BAD = {
    "logits that are not a tensor": (
        dict(logits=[[0.0, 1.0]]),
        r"logits are a list; pass a torch.Tensor",
    ),
    "logits of integers": (
        dict(logits=torch.zeros(4, 3, dtype=torch.int64)),
        r"dtype torch.int64; use float32",
    ),
    "logits of one dimension": (
        dict(logits=torch.zeros(4)),
        r"shape \(4,\); they must be \[N, C\]",
    ),
    "logits of three dimensions": (dict(logits=torch.zeros(4, 3, 2)), r"shape \(4, 3, 2\)"),
    "logits without classes": (dict(logits=torch.zeros(4, 0), similarity=None), r"no classes"),
    "labels that are not a tensor": (dict(labels=[0, 1, 2, 0]), r"labels are a list"),
    "labels that are floats": (
        dict(labels=torch.zeros(4)),
        r"labels have dtype torch.float32; use int64",
    ),
    "labels of another length": (dict(labels=torch.zeros(5, dtype=torch.int64)), r"\[N\] = \[4\]"),
    "one-hot labels": (
        dict(labels=torch.zeros(4, 3, dtype=torch.int64)),
        r"labels have shape \(4, 3\)",
    ),
    "similarity that is not a tensor": (dict(similarity=[[1.0]]), r"similarity is a list"),
    "similarity of another size": (dict(similarity=torch.eye(4)), r"\[C, C\] = \[3, 3\]"),
    "similarity of one dimension": (dict(similarity=torch.ones(3)), r"shape \(3,\)"),
    "similarity of another dtype": (
        dict(similarity=torch.eye(3).half()),
        r"float16; use float32 or",
    ),
    "similarity that needs a gradient": (
        dict(similarity=torch.eye(3).requires_grad_()),
        r"detach\(\)",
    ),
    "similarity on another device": (
        dict(similarity=torch.eye(3, device="meta")),
        r"similarity is on meta",
    ),
    "labels on another device": (
        dict(labels=torch.zeros(4, dtype=torch.int64, device="meta")),
        r"on meta",
    ),
    "a negative entry": (dict(similarity=changed(1, 2, -0.5)), r"similarity\[1, 2\] = -0.5"),
    "an entry that is not a number": (
        dict(similarity=changed(0, 1, math.nan)),
        r"similarity\[0, 1\] = nan",
    ),
    "an infinite entry": (dict(similarity=changed(0, 1, math.inf)), r"similarity\[0, 1\] = inf"),
    "rows that do not sum to 1": (
        dict(similarity=CASE.similarity * 2),
        r"row 0 of similarity sums to 2",
    ),
    "an unknown reduction": (
        dict(reduction="batchmean"),
        r"'batchmean'; use one of none, mean, sum",
    ),
    "a negative weight": (dict(soft_weight=-1.0), r"soft_weight is -1.0"),
    "a weight that is not finite": (dict(ce_weight=math.nan), r"ce_weight is nan"),
    "a weight that is not a number": (dict(soft_weight="1"), r"soft_weight is '1'"),
    "an ignore_index that is not an int": (dict(ignore_index=None), r"ignore_index is None"),
}


@pytest.fixture
def without_library(monkeypatch):
    """As if the native library had not been built."""
    monkeypatch.setattr(op, "NATIVE_DEVICES", frozenset())
    monkeypatch.setattr(op, "WHY_NOT_NATIVE", "the native library is not built")
    monkeypatch.setattr(op, "_warned", set())


def on(device: str, value):
    """A tensor of the CPU moved to the device; all else as it is."""
    is_here = isinstance(value, torch.Tensor) and value.device.type == "cpu"
    return value.to(device) if is_here else value


def call_with(change: dict, device: str):
    arguments = dict(zip(("logits", "labels", "similarity"), CASE, strict=True)) | change
    return ffdwv_loss(**{name: on(device, value) for name, value in arguments.items()})


@pytest.mark.parametrize(("change", "message"), BAD.values(), ids=BAD)
def test_one_line_that_explains(change, message, device):
    with pytest.raises(InputError, match=message) as raised:
        call_with(change, device)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("change", "message"), BAD.values(), ids=BAD)
@pytest.mark.filterwarnings("ignore:ffdwv_fast.*not built:RuntimeWarning")
def test_the_fallback_explains_the_same(change, message, without_library, device):
    with pytest.raises(InputError, match=message):
        call_with(change, device)


def test_values_are_checked_again_once_the_matrix_is_written_to(device):
    case = make_case(4, 3, device=device)
    ffdwv_loss(*case)
    case.similarity[0, 0] += 1
    with pytest.raises(InputError, match="row 0 of similarity sums to"):
        ffdwv_loss(*case)


def test_values_are_checked_once_per_matrix(monkeypatch, device):
    reads = []
    real = ffdwv_fast.loss.arguments._check_rows
    monkeypatch.setattr(
        ffdwv_fast.loss.arguments, "_check_rows", lambda s: reads.append(s) or real(s)
    )
    case = make_case(4, 3, device=device)
    for _ in range(3):
        ffdwv_loss(*case)
    assert len(reads) == 1


@pytest.mark.parametrize(
    "similarity", [torch.eye(3)[:2], torch.eye(3).long(), [[1.0]], 2 * torch.eye(3)]
)
def test_module_refuses_a_bad_matrix_at_once(similarity, device):
    with pytest.raises(InputError, match="similarity"):
        FFDWVLoss(on(device, similarity))


def test_without_the_library_the_loss_warns_once_and_is_right(without_library, device):
    case = make_case(4, 3, device=device)
    with pytest.warns(
        RuntimeWarning, match=r"not built.*pip install --no-build-isolation -e \."
    ) as caught:
        ffdwv_loss(*case)
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_loss_matches(case, ffdwv_loss, sums=torch.float32)


@pytest.mark.cpu_only("an import has no device")
def test_without_the_library_the_package_imports_without_a_word(tmp_path):
    package = tmp_path / "ffdwv_fast"
    package.mkdir()
    for path in native.LIBRARY.parent.iterdir():
        if path.suffix != ".so":
            (package / path.name).symlink_to(path)
    code = (
        "import ffdwv_fast; info = ffdwv_fast.build_info(); print(info['native'], info['reason'])"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "False the native library is not built"


@pytest.mark.cpu_only("a build has no device; that it has kernels is asked before any test")
def test_build_info_says_how_it_was_built():
    info = ffdwv_fast.build_info()
    assert info["native"] is True
    assert info["torch"] == torch.__version__
    assert info["version"] == "0.1.0"
    assert info["oldest_torch"] == "2.11"
    assert str(info["compiler"]).split()[0] in ("GNU", "Clang")
