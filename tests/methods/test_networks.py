"""Methods that run a second network in their steps."""

import pytest
import torch
from torch.nn import functional as F

from ffdwv_fast.engine.speedups import Speedups
from ffdwv_fast.models.peers import Peers, members
from tests.engine.steps import Training, assert_close, differences, make_batches, make_network
from tests.methods.reference import reference_loss

RATES = [0.05, 0.05, 0.01]


def inputs_seen(networks: list[torch.nn.Module]) -> list[list[torch.Tensor]]:
    """For each network the images that it will be given."""
    seen = [[] for _ in networks]
    for network, images in zip(networks, seen, strict=True):
        network.register_forward_pre_hook(lambda _, args, to=images: to.append(args[0].clone()))
    return seen


@pytest.mark.parametrize("amp", ["off", "bf16"])
@pytest.mark.parametrize("kind", ["eager", "graph"])
def test_a_teacher_stays_as_it_was(kind, amp):
    training = Training(kind, amp, method="kd")
    teacher = training.method.teacher
    before = {name: t.clone() for name, t in teacher.state_dict().items()}
    student = training.state()
    training.train(make_batches(), RATES)
    assert differences(before, teacher.state_dict()) == []
    assert differences(student, training.state()) != []
    assert all(p.grad is None and not p.requires_grad for p in teacher.parameters())


def test_a_teacher_is_in_evaluation_mode_whatever_the_method_is_in():
    training = Training(method="kd")
    method, images = training.method, make_batches([8])[0].images
    for mode in (True, False):
        method.train(mode)
        assert method.training is mode
        assert not any(module.training for module in method.teacher.modules())
    alone = make_network().eval()
    alone.load_state_dict(method.teacher.state_dict())
    with torch.no_grad():
        assert torch.equal(method.targets(images), alone(images))
        assert not torch.equal(method.targets(images), alone.train()(images))
    assert not method.targets(images).requires_grad


def test_student_and_teacher_see_the_same_images():
    training = Training(method="kd")
    student, teacher = inputs_seen([training.model, training.method.teacher])
    training.train(make_batches(), RATES)
    assert len(student) == len(teacher) == len(RATES)
    assert all(torch.equal(a, b) for a, b in zip(student, teacher, strict=True))


def test_mutual_networks_see_the_same_batches_and_differ():
    training, batches = Training(method="dml"), make_batches()
    one, two = members(training.model)
    assert not torch.equal(one.fc.weight, two.fc.weight)
    seen = inputs_seen([one, two])
    training.train(batches, RATES)
    for images in seen:
        assert [torch.equal(a, b.images) for a, b in zip(images, batches, strict=False)] == [
            True
        ] * len(RATES)


def test_mutual_learning_is_two_trainings_with_an_optimizer_each():
    training, batches = Training(method="dml", speedups=Speedups()), make_batches()
    networks = [make_network().double() for _ in range(2)]
    for own, network in zip(networks, members(training.model), strict=True):
        own.load_state_dict(network.state_dict())
    optimizers = [
        torch.optim.SGD(n.parameters(), 0.05, momentum=0.9, nesterov=True, weight_decay=1e-2)
        for n in networks
    ]
    for images, labels in batches[:2]:
        logits = torch.stack([network(images.double()) for network in networks])
        reference_loss("dml", logits, labels, None, 0.7).backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
    training.train(batches, [0.05, 0.05])
    for own, network in zip(networks, members(training.model), strict=True):
        assert_close(network.state_dict(), own.state_dict(), 1e-4)


def test_the_first_mutual_network_is_what_is_reported():
    training, (batch, *_) = Training(method="dml"), make_batches()
    logits = training.model(batch.images).detach()
    losses = [F.cross_entropy(z, batch.labels).item() for z in logits]
    training.train([batch], [0.05])
    assert training.step.sums.read().ce == pytest.approx(losses[0], rel=1e-5)
    assert training.step.sums.read().loss > sum(losses)


@pytest.mark.parametrize("amp", ["off", "bf16"])
@pytest.mark.parametrize("method", ["kd", "dml"])
@pytest.mark.parametrize("name", ["direct-gradient", "weight-copies"])
def test_a_speedup_changes_nothing_but_speed(name, method, amp):
    fast = Training("eager", amp, method=method)
    plain = Training("eager", amp, Speedups.without([name]), method=method)
    for training in (fast, plain):
        training.train(make_batches(), RATES)
    assert differences(fast.state(), plain.state()) == []


def test_members_of_a_network_alone_are_itself():
    network = make_network()
    assert members(network) == [network]
    assert members(Peers([network])) == [network]
