"""Floating-point operations, against the known figures of the networks."""

import pytest
import torch
from torch import nn

from ffdwv_fast import resnet8, resnet32, resnet110
from ffdwv_fast.engine.costs import costs
from ffdwv_fast.methods import Method
from ffdwv_fast.methods.vanilla import Vanilla

CIFAR = (3, 32, 32)


class Taught(Vanilla):
    """A method that brings a network."""

    def __init__(self, teacher: nn.Module):
        super().__init__(None, 1.0)
        self.teacher = teacher

    def targets(self, images):
        return self.teacher(images)


class Both(nn.Module):
    """Two networks on the same images."""

    def __init__(self, *networks: nn.Module):
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, images):
        return torch.stack([network(images) for network in self.networks])


class Mutual(Method):
    networks = 2


@pytest.mark.parametrize(("net", "flops"), [(resnet32, 1.38e8), (resnet110, 5.06e8)])
def test_forward_pass_of_a_cifar_resnet(net, flops):
    found = costs(net(), Vanilla(None, 1.0), CIFAR)
    assert found.test_flops == found.train_flops == pytest.approx(flops, rel=0.005)


def test_a_convolution_by_hand():
    model = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.Flatten(), nn.Linear(5 * 8 * 8, 10))
    multiply_accumulates = 8 * 8 * 5 * 3 * 3 * 3 + 5 * 8 * 8 * 10
    assert costs(model, Vanilla(None, 1.0), (3, 8, 8)).test_flops == 2 * multiply_accumulates


class Token(nn.Module):
    """Puts a learned value before those of each image."""

    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1, 4))
        self.embed, self.head = nn.Linear(4, 6), nn.Linear(12, 10)

    def forward(self, images):
        values = self.embed(images.flatten(1)), self.embed(self.token.expand(len(images), 4))
        return self.head(torch.cat(values, dim=1))


def test_a_network_with_a_class_token():
    model = Token()
    model(torch.zeros(2, 1, 2, 2)).sum().backward()
    multiply_accumulates = 2 * 4 * 6 + 12 * 10
    assert costs(model, Vanilla(None, 1.0), (1, 2, 2)).test_flops == 2 * multiply_accumulates
    assert all(p.requires_grad for p in model.parameters())


def test_a_teacher_counts_in_training_only():
    found = costs(resnet32(100), Taught(resnet110(100)), CIFAR)
    assert found.train_flops == pytest.approx(6.43e8, rel=0.005)  # the paper's KD
    assert found.test_flops == pytest.approx(1.38e8, rel=0.005)


def test_two_peers_count_twice_in_training_and_once_in_testing():
    found = costs(Both(resnet32(100), resnet32(100)), Mutual(None, 1.0), CIFAR)
    assert found.train_flops == pytest.approx(2.76e8, rel=0.005)  # the paper's DML
    assert found.test_flops == pytest.approx(1.38e8, rel=0.005)


def test_counting_leaves_the_network_as_it_was():
    model = resnet8().eval()
    before = {name: t.clone() for name, t in model.state_dict().items()}
    costs(model, Vanilla(None, 1.0), CIFAR)
    assert not model.training
    assert all(torch.equal(before[name], t) for name, t in model.state_dict().items())
