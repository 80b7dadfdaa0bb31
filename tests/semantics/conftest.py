"""Fixtures of the semantics tests."""

from pathlib import Path

import pytest

GOOGLENEWS = (
    Path(__file__).parents[3] / "shared" / "data" / "word_vectors" / "googlenews_79_words.bin"
)


@pytest.fixture(autouse=True)
def cache_folder(tmp_path, monkeypatch) -> Path:
    """A cache folder of this test alone."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("FFDWV_CACHE_DIR", str(folder))
    return folder


@pytest.fixture
def googlenews() -> Path:
    """79 true GoogleNews vectors in word2vec's binary format."""
    if not GOOGLENEWS.is_file():
        pytest.skip("the GoogleNews excerpt (../shared/data/word_vectors) is not on this machine")
    return GOOGLENEWS
