"""Mixed precision training as torch.amp has it: float16 logits under a scaled loss."""

import torch

from ffdwv_fast import ffdwv_loss
from tests.loss.cases import assert_gradient_near, expected, make_case

SCALE = 65536.0
RATE = 0.5


def test_gradscaler_round_trip_in_float16(device):
    case = make_case(256, 10, torch.float16, device=device)
    weights = case.logits.float().requires_grad_()  # exact in float16
    optimizer = torch.optim.SGD([weights], lr=RATE)
    scaler = torch.amp.GradScaler(device, init_scale=SCALE)
    loss = ffdwv_loss(weights.half(), case.labels, case.similarity)
    scaler.scale(loss).backward()
    scaled = expected(case, grad_out=SCALE).grad
    assert_gradient_near(case, weights.grad.half(), scaled, "scaled", grad_out=SCALE)

    scaler.unscale_(optimizer)
    unscaled = (weights.grad * SCALE).half()  # a power of two: nothing is rounded
    assert_gradient_near(case, unscaled, scaled, "unscaled", grad_out=SCALE)
    before = weights.detach().clone()
    grad = weights.grad.clone()
    scaler.step(optimizer)
    scaler.update()
    assert torch.equal(weights.detach(), before - RATE * grad)
    assert scaler.get_scale() == SCALE


def test_gradscaler_skips_the_step_after_an_overflow(device):
    case = make_case(2, 10, torch.float16, device=device)
    weights = case.logits.float().requires_grad_()
    optimizer = torch.optim.SGD([weights], lr=RATE)
    scaler = torch.amp.GradScaler(device, init_scale=2.0**20)
    scaler.scale(ffdwv_loss(weights.half(), case.labels, case.similarity)).backward()
    before = weights.detach().clone()
    scaler.step(optimizer)
    scaler.update()
    assert torch.equal(weights.detach(), before)
    assert scaler.get_scale() == 2.0**19
