"""The numbers on the page against the runs' files and networks, computed here by other means."""

import base64
import io
import json
import statistics

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from sklearn.metrics import confusion_matrix

from ffdwv_fast.data.registry import load_dataset
from ffdwv_fast.engine.calibration import reliability
from ffdwv_fast.models import MODELS
from ffdwv_fast.report.page import NOTHING
from tests.report.html import Page


@pytest.fixture(scope="module")
def page(page_file) -> Page:
    return Page(page_file.read_text())


def summaries(runs):
    return [json.loads((runs / f"seeds/seed{s}/summary.json").read_text()) for s in (0, 1)]


@pytest.fixture(scope="module")
def outputs(runs) -> tuple[np.ndarray, list[np.ndarray]]:
    """Test labels, and the probabilities of the networks of both seeds, by plain PyTorch."""
    dataset = load_dataset("digits", "data")
    pixels = torch.from_numpy(dataset.test.images).permute(0, 3, 1, 2).double() / 255
    found = []
    for seed in (0, 1):
        network = MODELS["resnet8"](10, in_channels=1).double()
        network.load_state_dict(load_file(runs / f"seeds/seed{seed}/model.safetensors"))
        with torch.no_grad():
            logits = network.eval()((pixels - dataset.mean[0]) / dataset.std[0])
        found.append(torch.softmax(logits, dim=1).numpy())
    return dataset.test.labels, found


def test_error_is_mean_and_sd_over_the_seeds(page, runs):
    errors = [summary["test_error"] for summary in summaries(runs)]
    row = page.table("Errors and other metrics")[1]
    mean, sd = statistics.mean(errors), statistics.stdev(errors)
    assert row[:4] == ["ffdwv, resnet8 on digits", f"{mean:.2f} ± {sd:.2f}", "2", "test images"]


def test_validated_run_reports_its_validation_error_and_says_so(page, runs):
    summary = json.loads((runs / "validated" / "summary.json").read_text())
    row = page.table("Errors and other metrics")[2]
    assert row[1:4] == [f"{summary['validation_error']:.2f}", "1", "validation images"]


def test_networks_asked_again_have_the_errors_of_their_summaries(page_file):
    assert "computed for this page" not in page_file.read_text()


def test_errors_by_class(page, outputs):
    labels, probabilities = outputs
    counts = [confusion_matrix(labels, p.argmax(axis=1)) for p in probabilities]
    rows = next(
        rows
        for caption, rows in page.rows.items()
        if caption.startswith("Top-1 error of each class") and rows[1][0] == "zero"
    )
    for label, row in enumerate(rows[1:11]):
        errors = [100 * (1 - c[label, label] / c[label].sum()) for c in counts]
        off_diagonal = sum(counts)[label] * (np.arange(10) != label)
        spread = f"{statistics.mean(errors):.2f} ± {statistics.stdev(errors):.2f}"
        assert row[1:3] == [spread, f"{off_diagonal.sum()} of {sum(counts)[label].sum()}"]
        taken_for = [rows[1 + j][0] for j in np.flatnonzero(off_diagonal == off_diagonal.max())]
        assert row[3] == NOTHING if not off_diagonal.any() else row[3] in taken_for


def test_most_frequent_confusion_comes_first(page, outputs):
    labels, probabilities = outputs
    counts = sum(confusion_matrix(labels, p.argmax(axis=1)) for p in probabilities)
    np.fill_diagonal(counts, 0)
    rows = page.table("most frequent confusions of ffdwv")[1:]
    assert [int(row[2]) for row in rows] == sorted(counts[counts > 0], reverse=True)[: len(rows)]


def test_gallery_begins_with_the_least_probable_true_class(page, outputs):
    labels, probabilities = outputs
    own = np.stack([p[np.arange(len(labels)), labels] for p in probabilities])
    wrong = np.stack([p.argmax(axis=1) != labels for p in probabilities])
    least = np.where(wrong, own, np.inf).min(axis=0)
    order = np.argsort(least)[: min(16, wrong.any(axis=0).sum())]
    shown = [e.attributes for e in page.named("li") if "data-index" in e.attributes]
    ours = [a for a in shown if a["data-group"].startswith("ffdwv")]
    assert [int(a["data-index"]) for a in ours] == order.tolist()
    given = [float(a["data-probability"]) for a in ours]
    assert given == pytest.approx(least[order], abs=1e-4)


def test_gallery_shows_the_images_pixels(page):
    images = load_dataset("digits", "data").test.images
    items = iter(page.elements)
    first = next(e for e in items if "data-index" in e.attributes)
    source = next(e for e in items if e.tag == "img").attributes["src"]
    png = base64.b64decode(source.removeprefix("data:image/png;base64,"))
    expected = images[int(first.attributes["data-index"])][..., 0]
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png))), expected)


def test_reliability_bins_against_numpy(outputs):
    labels, (p, _) = outputs
    confidence, right = p.max(axis=1), p.argmax(axis=1) == labels
    bins = reliability(torch.from_numpy(p).log(), torch.from_numpy(labels))
    assert sum(b.images for b in bins) == len(labels)
    for number, b in enumerate(bins):
        inside = (confidence > number / 15) & (confidence <= (number + 1) / 15)
        assert b.images == inside.sum()
        if b.images:
            expected = (confidence[inside].mean(), right[inside].mean())
            assert (b.confidence, b.accuracy) == pytest.approx(expected)


def test_calibration_error_is_the_mean_over_the_seeds(page_file, runs):
    errors = [summary["test_ece"] for summary in summaries(runs)]
    expected = f"ECE {statistics.mean(errors):.2f} ± {statistics.stdev(errors):.2f} %"
    assert expected in page_file.read_text()


def test_costs_are_those_of_the_summaries(page, runs):
    first, second = summaries(runs)
    row = page.table("Costs")[1]
    assert row[1] == f"{first['parameters']:,}"
    assert row[2:4] == [f"{first[n] / 1e6:.3f}" for n in ("train_flops", "test_flops")]
    seconds = [first["seconds"], second["seconds"]]
    assert row[5] == f"{statistics.mean(seconds):.1f} ± {statistics.stdev(seconds):.1f}"


def test_curves_table_has_the_mean_error_of_every_epoch(page, runs):
    lines = [(runs / f"seeds/seed{s}/metrics.jsonl").read_text().splitlines() for s in (0, 1)]
    errors = [[json.loads(line)["test_error"] for line in each] for each in lines]
    rows = page.table("Mean top-1 errors in percent by epoch, digits, test images")[2:]
    expected = [f"{statistics.mean(pair):.2f}" for pair in zip(*errors, strict=True)]
    assert [row[1] for row in rows] == expected


def test_options_that_differ_are_marked(page):
    rows = {row[0]: row[1:] for row in page.table("Options of the runs")[1:]}
    assert rows["method differs"] == ["ffdwv", "vanilla"]
    assert rows["model"] == ["resnet8", "resnet8"]
    assert rows["seed differs"] == ["0, 1", "0"]
