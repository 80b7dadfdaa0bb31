"""tests/loss/test_transforms.py on this folder's device; imported, so that nothing is copied."""

from tests.loss.test_transforms import *
