"""The device these tests run on."""

import pytest


@pytest.fixture(scope="session")
def device() -> str:
    """Where the tensors of a test are."""
    return "cpu"
