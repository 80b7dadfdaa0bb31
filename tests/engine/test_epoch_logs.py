"""metrics.csv and TensorBoard's files beside metrics.jsonl, also of runs that are gone on with."""

import csv
import json
from dataclasses import replace

import pytest

from ffdwv_fast import InputError
from ffdwv_fast.data.loader import LOADERS
from ffdwv_fast.engine import run_folder
from ffdwv_fast.engine.seeds import run_seeds
from ffdwv_fast.engine.stop import Stopped
from ffdwv_fast.engine.tensorboard_log import GROUPS, TensorBoardLog, refuse_without_tensorboard
from ffdwv_fast.engine.trainer import EpochRecord
from tests.engine.resident import ResidentLoader, small_dataset
from tests.engine.steps import make_similarity
from tests.engine.stopping import EVENTS, StopAfter, run_in_parts, start
from tests.engine.test_parts import CONFIG, RECORDS
from tests.little_disk import little_disk

BASE = replace(CONFIG, loader="resident", batch_size=8, epochs=3)


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    monkeypatch.setitem(LOADERS, "resident", ResidentLoader)
    monkeypatch.setattr(run_folder, "draw_curves", lambda *_: None)


def json_lines(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def csv_rows(folder) -> list[dict]:
    """The rows of metrics.csv, with numbers, and None for an empty cell."""
    with (folder / "metrics.csv").open(newline="") as file:
        return [
            {name: json.loads(cell) if cell else None for name, cell in row.items()}
            for row in csv.DictReader(file)
        ]


def scalars(folder) -> dict[str, list[tuple[int, float]]]:
    """Steps and values by tag, as TensorBoard reads them."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    read = accumulator.EventAccumulator(str(folder), {"scalars": 0})
    read.Reload()
    return {
        tag: [(event.step, event.value) for event in read.Scalars(tag)]
        for tag in read.Tags()["scalars"]
    }


def expected_scalars(folder) -> dict[str, list[tuple[int, float]]]:
    """The same from metrics.jsonl and summary.json."""
    lines = json_lines(folder)
    found = {
        f"{group}/{name}": [(line["epoch"], line[name]) for line in lines if line[name] is not None]
        for group, names in GROUPS.items()
        for name in names
    }
    summary = json.loads((folder / "summary.json").read_text())
    numbers = {n: v for n, v in summary.items() if isinstance(v, (int, float))}
    found |= {f"final/{name}": [(len(lines), value)] for name, value in numbers.items()}
    return {tag: points for tag, points in found.items() if points}


def assert_same_scalars(folder) -> None:
    found, expected = scalars(folder / "tensorboard"), expected_scalars(folder)
    assert found.keys() == expected.keys()
    for tag, points in expected.items():
        assert [step for step, _ in found[tag]] == [step for step, _ in points], tag
        values = [value for _, value in points]
        assert [value for _, value in found[tag]] == pytest.approx(values, rel=1e-6), tag


@pytest.mark.parametrize("events", [(), (2, EVENTS, 3), (3 * EVENTS,)], ids=str)
def test_the_table_is_metrics_jsonl(events, tmp_path):
    run_in_parts(replace(BASE, evaluate_every=2), tmp_path, *events)
    rows = csv_rows(tmp_path)
    assert rows == json_lines(tmp_path)
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert rows[0]["test_error"] is None
    assert list(rows[0]) == list(EpochRecord._fields)


def test_half_a_row_of_the_table_is_repaired(tmp_path):
    with pytest.raises(Stopped):
        start(BASE, tmp_path, StopAfter(EVENTS + 1))
    table = tmp_path / "metrics.csv"
    table.write_text(table.read_text() + "2,0.")  # killed while it wrote this
    start(BASE, tmp_path)
    assert csv_rows(tmp_path) == json_lines(tmp_path)


def test_each_seed_has_its_table(tmp_path):
    run_seeds(BASE, (3, 4), small_dataset(), make_similarity(), tmp_path)
    for seed in ("seed3", "seed4"):
        assert csv_rows(tmp_path / seed) == json_lines(tmp_path / seed)


@pytest.mark.parametrize("events", [(), (1, EVENTS - 1, 3), (3 * EVENTS,)], ids=str)
@pytest.mark.parametrize("method", ["vanilla", "dml"])
def test_tensorboard_reads_what_metrics_jsonl_has(events, method, tmp_path):
    pytest.importorskip("tensorboard")
    run_in_parts(replace(BASE, method=method, tensorboard=True), tmp_path, *events)
    assert_same_scalars(tmp_path)


def test_without_the_option_there_is_no_file_of_tensorboard(tmp_path):
    start(BASE, tmp_path)
    assert not (tmp_path / "tensorboard").exists()


def test_epochs_and_results_that_no_checkpoint_has_are_not_there_twice(tmp_path):
    pytest.importorskip("tensorboard")
    for known, last in ((1, 2), (2, 3)):  # each killed behind its last epoch
        log = TensorBoardLog(tmp_path)
        records = [RECORDS[0]._replace(epoch=epoch) for epoch in range(1, last + 1)]
        for count in range(known, last + 1):
            log.save(records[:count])
        log.finish({"test_error": 5.0 + last})
    found = scalars(tmp_path)
    assert found["error/train_error"] == [(epoch, 60.0) for epoch in (1, 2, 3)]
    assert found["final/test_error"] == [(3, 8.0)]


def test_half_a_record_of_a_process_that_was_killed_hides_nothing(tmp_path):
    pytest.importorskip("tensorboard")
    config = replace(BASE, tensorboard=True)
    with pytest.raises(Stopped):
        start(config, tmp_path, StopAfter(2 * EVENTS))
    (file,) = (tmp_path / "tensorboard").iterdir()
    file.write_bytes(file.read_bytes()[:-7])
    start(config, tmp_path)
    assert_same_scalars(tmp_path)


def test_a_full_disk_stops_nothing_and_what_is_missing_comes_later(tmp_path, capsys):
    pytest.importorskip("tensorboard")
    log = TensorBoardLog(tmp_path)
    log.save(RECORDS[:1])
    (file,) = tmp_path.iterdir()
    with little_disk(file.stat().st_size + 20), pytest.raises(OSError, match="File too large"):
        log.save(RECORDS)
    log.save([*RECORDS, RECORDS[1]._replace(epoch=3)])
    assert scalars(tmp_path)["error/train_error"] == [(1, 60.0), (2, 30.0), (3, 30.0)]


def test_tensorboard_that_is_not_installed(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"is not installed: pip install 'ffdwv_fast\[tensor"):
        refuse_without_tensorboard()
