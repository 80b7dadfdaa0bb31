"""The page is one valid file that loads nothing, and that a class's name cannot break."""

import re
from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from ffdwv_fast.report.__main__ import main
from ffdwv_fast.report.page import as_page
from ffdwv_fast.report.predictions import Predictions
from ffdwv_fast.report.runs import grouped, read_runs
from ffdwv_fast.report.section import Report
from ffdwv_fast.report.svg import Pictures
from tests.report.html import Page

NAMES = ("<script>alert(1)</script>", "\"'><img src=x onerror=alert(2)>", "a $x$ & {{ 7 * 7 }}")


@pytest.fixture(scope="module")
def page(page_file) -> Page:
    return Page(page_file.read_text())


def hostile_page(runs) -> str:
    """The page of a run whose classes and folder have names that are HTML."""
    run = read_runs([runs / "seeds" / "seed0"])[0]
    aliases = [f"{name}={word}" for name, word in zip(NAMES, ("one", "two", "six"), strict=True)]
    similarity = {**run.config.similarity, "aliases": [aliases[0], aliases[2]]}
    predictions = Predictions(
        class_names=NAMES,
        images=torch.zeros(6, 4, 4, 3, dtype=torch.uint8).numpy(),
        labels=torch.tensor([0, 0, 1, 1, 2, 2]),
        logits=torch.eye(3, dtype=torch.float64)[[0, 1, 1, 2, 2, 0]],
    )
    hostile = replace(
        run,
        folder=runs / NAMES[0],
        config=replace(run.config, similarity=similarity),
        predictions=predictions,
    )
    groups, notes = grouped([hostile])
    return as_page(Report(groups, notes, Pictures(), most_mistakes=5))


def test_tags_are_balanced_and_ids_are_unique(page):
    ids = [e.attributes["id"] for e in page.elements if "id" in e.attributes]
    assert len(set(ids)) == len(ids)
    links = [e.attributes["href"] for e in page.named("a")]
    assert {link[1:] for link in links} <= set(ids)


def test_charts_refer_to_their_own_parts(page_file):
    text = page_file.read_text()
    used = re.findall(r'url\(#([^)"]+)\)|xlink:href="#([^"]+)"', text)
    assert used
    for reference in {a or b for a, b in used}:
        assert text.count(f'id="{reference}"') == 1


def test_page_names_no_address_to_load(page_file, page):
    assert not re.search(r"https?:|@import|url\((?!#)", page_file.read_text())
    for element in page.elements:
        for name in ("src", "href", "xlink:href", "srcset", "action", "data", "poster"):
            assert (element.attributes.get(name) or "#").startswith(("#", "data:"))


def test_policy_forbids_loading_and_foreign_scripts(page):
    (policy,) = [
        e.attributes["content"]
        for e in page.named("meta")
        if e.attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert "default-src 'none'" in policy
    assert re.search(r"script-src 'sha256-[^ ';]+'(;|$)", policy)


def test_headings_have_one_first_level_and_leave_none_out(page):
    levels = [int(e.tag[1]) for e in page.named("h1", "h2", "h3", "h4", "h5", "h6")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_every_picture_has_a_text_and_every_table_a_caption_and_scopes(page):
    assert all(e.attributes.get("aria-label") for e in page.named("svg"))
    assert all(e.attributes.get("alt") for e in page.named("img"))
    assert len(page.named("table")) == len(page.named("caption"))
    assert all(e.attributes.get("scope") for e in page.named("th"))
    assert page.named("html")[0].attributes["lang"] == "en"
    assert [len(page.named(tag)) for tag in ("main", "nav", "header", "footer")] == [1] * 4


def test_names_that_are_html_stay_text(runs):
    text = hostile_page(runs)
    page = Page(text)
    assert len(page.named("script")) == 1
    assert all(e.attributes["src"].startswith("data:") for e in page.named("img"))
    assert not any(name.startswith("on") for e in page.elements for name in e.attributes)
    rows = page.table("Top-1 error of each class")
    assert [row[0] for row in rows[1:]] == list(NAMES)


def test_same_runs_give_the_same_bytes(runs, page_file, tmp_path):
    again = tmp_path / "again.html"
    main([str(runs / "seeds"), str(runs / "validated"), "-o", str(again), "--device", "cpu"])
    assert again.read_bytes() == page_file.read_bytes()
