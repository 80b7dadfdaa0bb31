"""What each method's loss and gradient are."""

import math

import pytest
import torch
from torch.nn import functional as F

from ffdwv_fast import InputError, class_vectors, similarity_matrix
from ffdwv_fast.data.class_names import CIFAR10_CLASSES
from ffdwv_fast.methods import METHODS
from tests.engine.steps import CLASSES, make_method, make_similarity
from tests.methods.reference import reference_loss

ROWS = 12
ALL = pytest.mark.parametrize("name", METHODS)


def make_logits(name: str, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Logits for a method, [N, C] or [networks, N, C]; they require grad."""
    generator = torch.Generator().manual_seed(5)
    shape = (ROWS, CLASSES) if METHODS[name].networks == 1 else (2, ROWS, CLASSES)
    return (3 * torch.randn(shape, generator=generator, dtype=dtype)).requires_grad_()


def make_targets(name: str, dtype: torch.dtype = torch.float64) -> torch.Tensor | None:
    """A teacher's logits for a method that has one."""
    if not METHODS[name].needs_teacher:
        return None
    generator = torch.Generator().manual_seed(6)
    return 5 * torch.randn(ROWS, CLASSES, generator=generator, dtype=dtype)


LABELS = torch.randint(0, CLASSES, (ROWS,), generator=torch.Generator().manual_seed(7))


@ALL
@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_loss_and_gradient_are_those_of_the_equation(name, scale):
    method = make_method(name, loss_scale=scale, seed=3, temperature=2.5)
    logits, targets = make_logits(name), make_targets(name)
    loss, _ = method(logits, LABELS, targets)
    (grad,) = torch.autograd.grad(loss, logits)
    wanted = scale * reference_loss(
        *(name, logits, LABELS, make_similarity().double(), 0.7),
        permutation=getattr(method, "permutation", None),
        teacher=targets,
        temperature=2.5,
    )
    (wanted_grad,) = torch.autograd.grad(wanted, logits)
    # S is float32: its rows sum to 1, and it is uniform, to its rounding.
    torch.testing.assert_close(loss, wanted, rtol=1e-6, atol=0)
    torch.testing.assert_close(grad, wanted_grad, rtol=1e-6, atol=1e-8)


@ALL
def test_parts_are_the_terms_before_their_weights(name):
    method = make_method(name, loss_scale=0.5)
    logits, targets = make_logits(name), make_targets(name)
    _, (ce, kl, correct) = method(logits, LABELS, targets)
    first = logits.detach() if logits.dim() == 2 else logits.detach()[0]
    assert ce.item() == pytest.approx(F.cross_entropy(first, LABELS).item(), rel=1e-6)
    assert correct.item() == (first.argmax(1) == LABELS).sum().item()
    if method.has_soft_term and method.networks == 1:
        loss = method(logits, LABELS, targets)[0].item()
        constant = 0.7 * getattr(method, "entropy", 0.0)
        assert loss == pytest.approx(0.5 * (ce.item() + 0.7 * kl.item() + constant), rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", [name for name, m in METHODS.items() if m.gives_gradient])
def test_own_gradient_has_the_bits_of_autograds(name, dtype):
    method = make_method(name, loss_scale=0.5)
    logits, targets = make_logits(name, dtype), make_targets(name, dtype)
    loss, parts = method(logits, LABELS, targets)
    (8.0 * loss).backward()
    own_loss, own_parts, grad = method.gradient(logits.detach(), LABELS, 8.0, targets)
    assert torch.equal(grad, logits.grad)
    assert torch.equal(own_loss, loss)
    assert torch.equal(own_parts, parts)
    assert grad.dtype == dtype


@pytest.mark.parametrize(("scale", "factor"), [(1.0, 2.0), (0.5, 1.0)])
def test_double_ce_is_twice_the_cross_entropy(scale, factor):
    method = METHODS["double-ce"](None, 1.0, loss_scale=scale)
    logits = make_logits("double-ce")
    loss, _ = method(logits, LABELS)
    (grad,) = torch.autograd.grad(loss, logits)
    wanted = factor * F.cross_entropy(logits, LABELS)
    (wanted_grad,) = torch.autograd.grad(wanted, logits)
    torch.testing.assert_close(loss, wanted, rtol=1e-12, atol=0)
    torch.testing.assert_close(grad, wanted_grad, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(("scale", "factor"), [(1.0, 2.0), (0.5, 1.0)])
def test_label_smoothing_is_twice_pytorchs(scale, factor):
    similarity = make_similarity()
    method = METHODS["label-smoothing"](similarity, 1.0, loss_scale=scale)
    eps = CLASSES * (1 - similarity.diagonal().double().mean().item()) / (2 * (CLASSES - 1))
    assert method.smoothing == pytest.approx(eps, rel=1e-12)
    logits = make_logits("label-smoothing")
    loss, _ = method(logits, LABELS)
    (grad,) = torch.autograd.grad(loss, logits)
    wanted = factor * F.cross_entropy(logits, LABELS, label_smoothing=eps)
    (wanted_grad,) = torch.autograd.grad(wanted, logits)
    torch.testing.assert_close(loss, wanted, rtol=1e-6, atol=0)
    torch.testing.assert_close(grad, wanted_grad, rtol=1e-6, atol=1e-8)


def test_smoothing_that_bundled_vectors_amount_to():
    similarity = similarity_matrix(class_vectors(CIFAR10_CLASSES))
    assert METHODS["label-smoothing"](similarity, 1.0).smoothing == pytest.approx(0.05, abs=5e-4)


def test_uniform_similarity_keeps_the_mean_diagonal_and_is_flat_beside_it():
    given = make_similarity()
    uniform = make_method("label-smoothing").similarity
    off_diagonal = uniform[~torch.eye(CLASSES, dtype=torch.bool)]
    torch.testing.assert_close(uniform.diagonal(), given.diagonal().mean().expand(CLASSES))
    assert off_diagonal.unique().numel() == 1
    torch.testing.assert_close(uniform.sum(1), torch.ones(CLASSES))


def test_the_paper_s_loss_is_twice_class_dependent_label_smoothing():
    """The equivalence of docs/method.md: one gradient, and 2 JSD(e_y, S_y) at the minimum."""
    similarity = make_similarity().double()
    method = METHODS["ffdwv"](similarity.float(), 1.0)
    logits = make_logits("ffdwv")
    (grad,) = torch.autograd.grad(method(logits, LABELS)[0], logits)
    q = (F.one_hot(LABELS, CLASSES) + similarity[LABELS]) / 2
    (twice,) = torch.autograd.grad(2 * F.cross_entropy(logits, q), logits)
    torch.testing.assert_close(grad, twice, rtol=1e-6, atol=1e-8)

    minimum = method(q.log(), LABELS)[0].item()
    one_hot = F.one_hot(LABELS, CLASSES).double()
    jsd = sum(
        F.kl_div(q.log(), t, reduction="batchmean") / 2 for t in (one_hot, similarity[LABELS])
    )
    assert minimum == pytest.approx(2 * jsd.item(), rel=1e-6)


def test_reverse_divergence_vanishes_at_the_soft_target_and_is_not_the_forward_one():
    method, forward = make_method("ffdwv-reverse"), make_method("ffdwv")
    at_target = make_similarity().double().log()[LABELS]
    assert method(at_target, LABELS)[1][1].item() == pytest.approx(0, abs=1e-6)
    logits = make_logits("ffdwv")
    kls = [m(logits, LABELS)[1][1].item() for m in (method, forward)]
    assert kls[0] != pytest.approx(kls[1], rel=0.05)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_reverse_divergence_is_finite_where_similarity_is_zero(dtype):
    method = METHODS["ffdwv-reverse"](torch.eye(2), 1.0)
    logits = torch.zeros(1, 2, dtype=dtype, requires_grad=True)
    loss, (_, kl, _) = method(logits, torch.tensor([0]))
    loss.backward()
    # Half of the mass is at log S = log(smallest normal float32) = -126 ln 2.
    assert kl.item() == pytest.approx(-math.log(2) + 63 * math.log(2), rel=1e-6)
    assert logits.grad.isfinite().all()


def test_distillation_by_hand():
    # At T = 2 the teacher says (3/4, 1/4) and the student (1/2, 1/2): T^2 KL = 4 (3/4 ln 3/2 +
    # 1/4 ln 1/2); with ln 2 of cross-entropy the sum is 3 ln 3/2. The gradient of CE is p - e_y =
    # (-1/2, 1/2), that of the soft term T (p' - q) = 2 (-1/4, 1/4).
    method = make_method("kd", teacher=torch.nn.Identity(), temperature=2.0)
    method.soft_weight = 1.0
    logits = torch.zeros(1, 2, dtype=torch.float64, requires_grad=True)
    teacher = torch.tensor([[2 * math.log(3), 0.0]], dtype=torch.float64)
    loss, (ce, kl, _) = method(logits, torch.tensor([0]), teacher)
    loss.backward()
    assert loss.item() == pytest.approx(3 * math.log(1.5), rel=1e-12)
    assert ce.item() == pytest.approx(math.log(2), rel=1e-12)
    assert kl.item() == pytest.approx(3 * math.log(1.5) - math.log(2), rel=1e-12)
    torch.testing.assert_close(logits.grad, torch.tensor([[-1.0, 1.0]], dtype=torch.float64))


@pytest.mark.parametrize("name", ["kd", "dml"])
def test_without_what_it_needs_a_method_gives_the_cross_entropy(name):
    logits = make_logits("vanilla")
    loss, (ce, kl, _) = make_method(name)(logits, LABELS)
    assert loss.item() == pytest.approx(F.cross_entropy(logits, LABELS).item(), rel=1e-6)
    assert (ce.item(), kl.item()) == (pytest.approx(loss.item()), 0)


@pytest.mark.parametrize(
    ("ingredients", "message"),
    [
        ({"teacher": None}, "kd has no teacher; pass a trained network"),
        ({"temperature": 0.0}, "temperature is 0.0; it must be a finite number above 0"),
    ],
)
def test_distillation_refuses_what_it_cannot_use(ingredients, message):
    with pytest.raises(InputError, match=message):
        make_method("kd", **ingredients)
