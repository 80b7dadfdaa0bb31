"""The page in headless Chromium: no errors, nothing loaded, controls that work.

Needs `pip install playwright`, and Chromium: what `playwright install chromium` downloads, or a
system's own, which `$CHROMIUM` names or the path has (Debian: chromium-headless-shell).
"""

import os
import shutil

import pytest

from tests.report.test_page import NAMES, hostile_page

NAMED = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = (shutil.which(name) for name in (os.environ.get("CHROMIUM", ""), *NAMED) if name)
    path = next(filter(None, found), None)
    with playwright.sync_playwright() as p:
        if path is None and not os.path.exists(p.chromium.executable_path):
            pytest.skip("no Chromium: set $CHROMIUM, or playwright install chromium")
        # A container's root user has no sandbox, and the page is our own.
        browser = p.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(params=[1280, 390])
def opened(request, browser, page_file):
    """The page at a width, and a list that gets whatever goes wrong in it."""
    page = browser.new_page(viewport={"width": request.param, "height": 900})
    wrong: list[str] = []
    watch(page, wrong)
    page.goto(page_file.as_uri())
    yield page, wrong
    page.close()


def watch(page, wrong: list[str]) -> None:
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", lambda dialog: wrong.append(dialog.message))
    page.on(
        "request",
        lambda r: None if r.url.startswith(("file:", "data:")) else wrong.append(r.url),
    )


def column(page, table: str, number: int) -> list[str]:
    cells = f"#{table} tbody tr:not([hidden]) > :nth-child({number})"
    return [text.strip() for text in page.locator(cells).all_inner_texts()]


def test_page_opens_without_a_word_and_no_wider_than_the_window(opened):
    page, wrong = opened
    assert page.locator("h1").inner_text().startswith("Report")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert wrong == []


def test_table_is_sorted_by_a_click_on_a_heading_and_back_by_another(opened):
    page, wrong = opened
    heading = page.locator("#classes-1 thead th").nth(1)
    for direction, reverse in (("ascending", False), ("descending", True)):
        heading.locator("button").click()
        assert heading.get_attribute("aria-sort") == direction
        errors = [float(text.split()[0]) for text in column(page, "classes-1", 2)]
        assert errors == sorted(errors, reverse=reverse)
        assert len(set(errors)) > 1
    assert wrong == []


def test_filter_leaves_the_rows_with_the_words_and_says_how_many(opened):
    page, wrong = opened
    rows = column(page, "classes-1", 1)
    page.get_by_label("Filter the classes").first.fill("NINE")
    left = column(page, "classes-1", 1)
    assert "nine" in left
    assert len(left) < len(rows)
    assert page.locator("[data-count=classes-1]").inner_text() == f"{len(left)} of 10 classes"
    assert wrong == []


def test_gallery_shows_the_chosen_class_and_order(opened):
    page, wrong = opened
    choice = page.locator("[data-choose=true]")
    name = choice.locator("option").nth(1).get_attribute("value")
    choice.select_option(name)
    page.locator("[data-order]").select_option("-sure")
    shown = page.locator("#gallery li:not([hidden])")
    assert {item.get_attribute("data-true") for item in shown.all()} == {name}
    sure = [float(item.get_attribute("data-sure")) for item in shown.all()]
    assert sure == sorted(sure, reverse=True)
    total = page.locator("#gallery li").count()
    assert page.locator("#mistakes-count").inner_text() == f"{len(sure)} of {total} mistakes"
    assert wrong == []


def test_only_what_differs_hides_the_other_options(opened):
    page, wrong = opened
    page.get_by_label("Only what differs").check()
    names = page.locator(".configuration tbody tr:visible th").all_inner_texts()
    assert names
    assert all("differs" in name for name in names)
    assert wrong == []


def test_matrices_can_be_seen_in_full_size_without_widening_the_page(opened):
    page, wrong = opened
    matrix = page.locator(".pair svg").first
    before = matrix.bounding_box()["width"]
    page.get_by_label("Pictures in full size").check()
    assert matrix.bounding_box()["width"] > before
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert wrong == []


def test_controls_are_reached_by_the_keyboard(opened):
    page, _ = opened
    page.locator("#classes-1 thead button").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("#classes-1 thead th").first.get_attribute("aria-sort") == "ascending"
    page.keyboard.press("Tab")
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(outline) == "solid"


def test_names_that_are_html_run_nothing(browser, runs, tmp_path):
    file = tmp_path / "hostile.html"
    file.write_text(hostile_page(runs))
    page = browser.new_page()
    wrong: list[str] = []
    watch(page, wrong)
    page.goto(file.as_uri())
    assert column(page, "classes-1", 1) == list(NAMES)
    page.close()
    assert wrong == []
