"""tests/loss_variants/test_loss_and_grad.py on this folder's device, without a copy."""

from tests.loss_variants.test_loss_and_grad import *  # noqa: F403
