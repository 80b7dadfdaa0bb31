"""tests/loss_variants/test_transforms.py on this folder's device, imported: nothing is copied."""

from tests.loss_variants.test_transforms import *  # noqa: F403
