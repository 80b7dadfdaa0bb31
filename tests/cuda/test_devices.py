"""Tensors on several devices: refused where they are mixed, served where they are."""

import pytest
import torch

from ffdwv_fast import InputError, ffdwv_loss, loss_and_grad
from tests.cuda.device import loss_and_gradient
from tests.loss.cases import assert_identical, assert_loss_matches, make_case
from tests.loss_variants.cases import WITH_TENSOR, call, make_variant

pytestmark = pytest.mark.gpu_only("a CPU is one device")


@pytest.fixture
def other_gpu(device) -> str:
    """A GPU that is not the current one."""
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    return "cuda:1"


@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize(
    ("strays", "message"),
    [
        ({"labels"}, r"labels are on cpu, the logits on cuda:0; move one to the other"),
        ({"similarity"}, r"similarity is on cpu, .*cuda:0; use similarity.to\('cuda:0'\)"),
        ({"labels", "similarity"}, r"labels are on cpu, the logits on cuda:0"),
        ({"logits"}, r"labels are on cuda:0, the logits on cpu"),
        ({"logits", "labels"}, r"similarity is on cuda:0, the logits on cpu"),
        ({"logits", "similarity"}, r"labels are on cuda:0, the logits on cpu"),
    ],
    ids=lambda value: "+".join(sorted(value)) if isinstance(value, set) else "",
)
def test_what_stayed_on_the_cpu_is_named(strays, message, requires_grad, device):
    case = make_case(4, 3, device=device)
    stray = case._replace(**{name: getattr(case, name).cpu() for name in strays})
    with pytest.raises(InputError, match=message) as raised:
        ffdwv_loss(stray.logits.requires_grad_(requires_grad), *stray[1:])
    assert "\n" not in str(raised.value)
    assert_loss_matches(case, ffdwv_loss)


@pytest.mark.parametrize("kind", WITH_TENSOR)
@pytest.mark.parametrize("requires_grad", [False, True])
def test_soft_targets_that_stayed_on_the_cpu_are_named(kind, requires_grad, device):
    v = make_variant(kind, 4, 3, device=device)
    message = rf"{kind} is on cpu, the logits on cuda:0; use {kind}.to\('cuda:0'\)"
    with pytest.raises(InputError, match=message):
        call(v._replace(soft=v.soft.cpu()), v.logits.requires_grad_(requires_grad))


def test_a_loss_scale_that_stayed_on_the_cpu_is_named(device):
    case = make_case(4, 3, device=device)
    with pytest.raises(InputError, match=r"loss_scale is on cpu, the logits on cuda:0"):
        loss_and_grad(*case, loss_scale=torch.ones(()))


def test_what_is_on_another_gpu_is_named(other_gpu):
    case, there = make_case(4, 3, device="cuda:0"), make_case(4, 3, device=other_gpu)
    with pytest.raises(InputError, match=r"labels are on cuda:1, the logits on cuda:0"):
        ffdwv_loss(case.logits, there.labels, case.similarity)
    with pytest.raises(InputError, match=r"similarity is on cuda:1, the logits on cuda:0"):
        ffdwv_loss(case.logits, case.labels, there.similarity)


@pytest.mark.parametrize("n", [100, 5000])
def test_runs_where_its_tensors_are_whichever_gpu_is_current(n, other_gpu):
    with torch.cuda.device(0):
        case = make_case(n, 10, device=other_gpu)
        *parts, grad = loss_and_gradient(case)
        assert torch.cuda.current_device() == 0
        assert {t.device for t in (*parts, grad)} == {torch.device(other_gpu)}
        assert_loss_matches(case, ffdwv_loss)
        here = loss_and_gradient(make_case(n, 10, device="cuda:0"))
        assert torch.cuda.current_device() == 0
    for one, other in zip(here, (*parts, grad), strict=True):
        torch.testing.assert_close(one.cpu(), other.cpu(), rtol=1e-5, atol=1e-6)


def test_an_error_leaves_the_current_gpu_as_it_was(other_gpu):
    with torch.cuda.device(0):
        case = make_case(4, 3, device=other_gpu)
        with pytest.raises(InputError):
            ffdwv_loss(case.logits, case.labels[:2], case.similarity)
        assert torch.cuda.current_device() == 0
        assert_identical(loss_and_gradient(case), loss_and_gradient(case))
