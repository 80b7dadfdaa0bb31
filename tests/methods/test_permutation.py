"""The permuted soft labels: as soft as FFDWV's, and wrong about the neighbours."""

import pytest
import torch

from ffdwv_fast import InputError
from ffdwv_fast.methods.ffdwv_permuted import derangement
from tests.engine.steps import CLASSES, make_method, make_similarity


@pytest.mark.parametrize("n", [3, 4, 10, 100])
def test_a_derangement_is_a_permutation_without_fixed_points(n):
    for seed in range(50):
        pi = derangement(n, seed).tolist()
        assert sorted(pi) == list(range(n))
        assert all(i != k for i, k in enumerate(pi))


def test_every_derangement_comes_up():
    drawn = {tuple(derangement(4, seed).tolist()) for seed in range(200)}
    assert len(drawn) == 9  # !4


def test_the_seed_alone_decides():
    torch.manual_seed(0)
    state = torch.random.get_rng_state()
    first = [make_method("ffdwv-permuted", seed=seed).permutation for seed in range(4)]
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(1)
    again = [make_method("ffdwv-permuted", seed=seed).permutation for seed in range(4)]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert len({tuple(pi.tolist()) for pi in first}) == 4


def test_diagonal_and_entropies_stay_and_neighbours_change():
    given = make_similarity()
    method = make_method("ffdwv-permuted", seed=1)
    permuted, pi = method.similarity, method.permutation
    assert torch.equal(permuted.diagonal(), given.diagonal()[pi])
    entropies = [torch.special.entr(s.double()).sum(1) for s in (given, permuted)]
    torch.testing.assert_close(entropies[1], entropies[0][pi])
    assert torch.equal(permuted.argmax(1), torch.arange(CLASSES))
    nearest = [s.clone().fill_diagonal_(0).argmax(1) for s in (given, permuted)]
    assert (nearest[0] != nearest[1]).sum() > CLASSES / 2
    assert torch.equal(pi[nearest[1]], nearest[0][pi])  # which class is near has been renamed


@pytest.mark.parametrize("n", [0, 1, 2])
def test_too_few_classes_are_refused(n):
    with pytest.raises(InputError, match=f"needs 3 classes or more to confuse, and there are {n}"):
        derangement(n, 0)
