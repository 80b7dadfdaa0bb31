"""docs/results.md is what its commands write from the runs beside it: nothing on it is typed."""

import shutil
from pathlib import Path

import pytest

from ffdwv_fast.reproduce.__main__ import main
from tests.commands import ROOT
from tests.test_readme import command_lines, words_of

REPRODUCE = "python -m ffdwv_fast.reproduce "
GOOGLENEWS = "googlenews_79_words.bin"
SHARED = ROOT.parent / "shared" / "data" / "word_vectors" / GOOGLENEWS
COMMANDS = [
    words_of(line.removeprefix(REPRODUCE))
    for line in command_lines((ROOT / "docs/results/README.md").read_text())
    if line.startswith(REPRODUCE)
]


def test_the_page_and_its_tables_are_made_of_the_runs(tmp_path, monkeypatch, capsys):
    if not SHARED.exists():
        pytest.skip(f"needs {GOOGLENEWS}, word2vec's vectors of the class words")
    shutil.copy(SHARED, tmp_path)
    for runs in (ROOT / "docs" / "results").glob("*/runs.jsonl"):
        place = tmp_path / runs.parent.relative_to(ROOT)
        place.mkdir(parents=True)
        shutil.copy(runs, place)
    monkeypatch.chdir(tmp_path)
    for command in COMMANDS:
        main(command)
    said = [line for line in capsys.readouterr().out.splitlines() if "to do" in line]
    assert [line.endswith(" 0 to do") for line in said] == [True] * len(COMMANDS) != []
    for path in sorted((ROOT / "docs" / "results").glob("*/*")):
        if path.suffix in (".csv", ".json", ".jsonl"):
            made = path.relative_to(ROOT)
            assert made.read_bytes() == path.read_bytes(), path
    assert Path("docs/results.md").read_text() == (ROOT / "docs/results.md").read_text()
