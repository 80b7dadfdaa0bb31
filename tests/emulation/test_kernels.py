"""The CUDA kernels in host emulation against float64: every width, tier edge, dtype and option."""

import math

import pytest
import torch

from tests.emulation.emulated import emulated_loss
from tests.loss.cases import LAYOUTS, SIMILARITY_LAYOUTS, Case, assert_matches, make_case

FLOATS = [torch.float32, torch.bfloat16, torch.float16]
DTYPES = [*FLOATS, torch.float64]
SIMILARITIES = ("contiguous", "none")
TIER_EDGES = (32, 128, 512, 2048, 4096)  # csrc/cuda/tiers.cuh
ONE_PER_TIER = (10, 100, 300, 1500, 3000, 4200)


KERNEL_OPTIONS = ("known_entropy", "order", "most_blocks", "count")


def check(case, what="", **options):
    """The emulated kernel on a case, with its own options and those of ffdwv_loss."""
    parts, grad = emulated_loss(*case, **options)
    of_loss = {name: value for name, value in options.items() if name not in KERNEL_OPTIONS}
    assert_matches(case, parts, grad, what, sums=torch.float32, **of_loss)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_every_width_to_130(dtype, similarity):
    for c in range(1, 131):
        case = make_case(5, c, dtype, similarity_layout=similarity)
        check(case, f"C = {c}", most_blocks=2)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("edge", TIER_EDGES)
def test_tier_edges(dtype, similarity, edge):
    for c in (edge - 1, edge, edge + 1):
        layout = "expanded" if similarity == "contiguous" and c > 2000 else similarity
        check(make_case(3, c, dtype, similarity_layout=layout), f"C = {c}", most_blocks=2)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("c", ONE_PER_TIER)
def test_same_narrow_dtype_for_the_similarity(dtype, c):
    case = make_case(3, c, dtype, similarity_layout="expanded" if c > 1000 else "contiguous")
    check(case._replace(similarity=case.similarity.to(dtype)), f"C = {c}")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("similarity_layout", SIMILARITY_LAYOUTS)
def test_every_layout(layout, similarity_layout):
    for c in (10, 64, 200, 1030):
        for dtype in (torch.float32, torch.bfloat16):
            case = make_case(4, c, dtype, layout=layout, similarity_layout=similarity_layout)
            check(case, f"C = {c}, {dtype}")


@pytest.mark.parametrize("c", ONE_PER_TIER)
@pytest.mark.parametrize("known_entropy", [True, False])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_reductions_weights_and_ignored_rows(c, known_entropy, reduction):
    n = 70 if c < 200 else 6
    case = make_case(n, c, similarity_layout="expanded" if c > 1000 else "contiguous")
    labels = case.labels.to(torch.int32)
    labels[1::3] = -100
    shape = (n,) if reduction == "none" else ()
    check(
        case._replace(labels=labels),
        known_entropy=known_entropy,
        grad_out=torch.linspace(-1.5, 2.0, max(1, math.prod(shape))).reshape(shape),
        soft_weight=0.7,
        ce_weight=1.3,
        reduction=reduction,
    )


@pytest.mark.parametrize("order", ["ascending", "descending", "random"])
@pytest.mark.parametrize("c", ONE_PER_TIER)
def test_any_order_of_threads_and_blocks(order, c):
    case = make_case(40 if c < 200 else 5, c, similarity_layout="expanded")
    check(case, order=order, most_blocks=4)


@pytest.mark.parametrize("c", ONE_PER_TIER)
def test_same_bits_in_any_order(c):
    case = make_case(100 if c < 200 else 9, c, similarity_layout="expanded")
    results = [
        emulated_loss(*case, order=order, most_blocks=4)
        for order in ("ascending", "descending", "random")
    ]
    for parts, grad in results[1:]:
        assert torch.equal(grad, results[0][1])
        assert all(torch.equal(a, b) for a, b in zip(parts, results[0][0], strict=True))


@pytest.mark.parametrize("most_blocks", [1, 2, 300])
def test_rows_beyond_the_grid(most_blocks):
    check(make_case(333, 10), most_blocks=most_blocks)


def test_rows_counted_in_a_launch_of_their_own():
    case = make_case(2500, 3)
    labels = case.labels.clone()
    labels[::7] = -100
    for count in (False, True):
        check(case._replace(labels=labels), count=count)


@pytest.mark.parametrize("c", ONE_PER_TIER)
@pytest.mark.parametrize("bad", [-1, 2**31, None])
def test_a_bad_label_makes_its_own_row_nan_and_no_other(c, bad):
    case = make_case(4, c, similarity_layout="expanded")
    labels = case.labels.clone()
    labels[2] = c if bad is None else bad
    parts, grad = emulated_loss(*case._replace(labels=labels), reduction="none")
    want, want_grad = emulated_loss(*case, reduction="none")
    others = torch.tensor([0, 1, 3])
    assert grad[2].isnan().all()
    assert parts.loss[2].isnan()
    assert parts.correct[2] == 0
    assert torch.equal(grad[others], want_grad[others])
    assert torch.equal(parts.loss[others], want.loss[others])


@pytest.mark.parametrize("c", ONE_PER_TIER)
def test_of_equal_logits_the_first_is_the_prediction(c):
    logits = torch.zeros(3, c)
    logits[:, [1, c - 1]] = 2.0
    labels = torch.tensor([1, c - 1, 0])
    parts, _ = emulated_loss(logits, labels, None, reduction="none")
    assert parts.correct.tolist() == [1, 0, 0]


@pytest.mark.parametrize("c", ONE_PER_TIER)
def test_minus_infinity_and_nan_in_the_logits(c):
    logits = torch.randn(3, c, generator=torch.Generator().manual_seed(c))
    logits[0, 2] = -math.inf
    logits[1, 2] = math.nan
    labels = torch.zeros(3, dtype=torch.int64)
    similarity = torch.full((c, c), 1 / (c - 1))
    similarity[:, 2] = 0
    parts, grad = emulated_loss(logits, labels, similarity, reduction="none")
    kept = torch.arange(c) != 2
    finite = Case(logits[[0]][:, kept], labels[:1], similarity[kept][:, kept])
    first = type(parts)(*(part[:1] for part in parts))
    assert_matches(finite, first, grad[:1][:, kept], sums=torch.float32, reduction="none")
    assert grad[0, 2] == 0
    assert parts.loss[1].isnan()
    assert grad[1].isnan().all()
    assert parts.loss[2].isfinite()


def test_no_rows():
    parts, _ = emulated_loss(torch.zeros(0, 10), torch.zeros(0, dtype=torch.int64), None)
    assert parts.loss.isnan()
    parts, _ = emulated_loss(
        torch.zeros(0, 10), torch.zeros(0, dtype=torch.int64), None, reduction="sum"
    )
    assert parts.loss == 0


def test_mean_over_no_rows_is_nan_with_a_zero_gradient():
    parts, grad = emulated_loss(torch.randn(4, 10), torch.full((4,), -100), torch.eye(10))
    assert parts.loss.isnan()
    assert torch.equal(grad, torch.zeros(4, 10))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_two_hundred_thousand_classes_keep_their_digits(dtype):
    # What a thread adds up, hundreds of equal shares, has its error multiplied by log C in KL.
    c = 200_000
    case = make_case(2, c, dtype, similarity_layout="none")
    uniform = torch.full((1, 1), 1 / c).expand(c, c)
    parts, _ = emulated_loss(
        case.logits, case.labels, uniform, reduction="none", known_entropy=False
    )
    log_p = torch.log_softmax(case.logits.double(), dim=1)
    share = uniform[0, 0].item()
    kl = c * share * math.log(share) - share * log_p.sum(1)
    torch.testing.assert_close(parts.kl.double(), kl, rtol=1e-6, atol=0)
