"""Accessibility by keyboard, screen reader and touch in a real browser: axe-core, names, focus, sizes, saved words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install -e '.[dev]'")
from playwright.sync_api import expect

from demo.examples import read_examples
from tests.e2e.steps import FIRST_WORDS, PATIENCE, TOO_SMALL, expect_no_sideways_scroll, expect_result_of

pytestmark = pytest.mark.e2e

axe = pytest.importorskip("axe_playwright_python", reason="needs axe-core: pip install -e '.[dev]'")
AXE = next(Path(axe.__file__).parent.rglob("axe.min.js"))
TABS = ("Settings", "Attention", "Clusters", "Refine", "Compare", "Batch", "Model", "Guided tour")
GRADIO_S = {
    ("aria-prohibited-attr", "Empty value"),  # its empty Image has a label on an element without a role
}
"""(rule, content of the element) of axe-core's findings in Gradio's own elements, which this page cannot change."""


@pytest.fixture
def page_at(open_page):
    def open_at(*size, **options):
        page = open_page(*size, **options)
        expect_result_of(page, FIRST_WORDS)
        expect(page.locator("#lens .lens-tell")).to_contain_text("attention", timeout=PATIENCE)
        return page

    return open_at


def barriers(page):
    """Return the findings of axe-core except those in `GRADIO_S`."""
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    places = [(rule["id"], node["html"]) for rule in found for node in rule["nodes"]]
    return [place for place in places if not any(place[0] == rule and text in place[1] for rule, text in GRADIO_S)]


@pytest.mark.parametrize(
    ("width", "height", "scheme"), [(1280, 800, "light"), (1280, 720, "dark"), (375, 812, "light")]
)
def test_axe_finds_nothing(page_at, width, height, scheme):
    page = page_at(width, height, color_scheme=scheme)
    page.evaluate(AXE.read_text(encoding="utf-8"))
    for name in TABS if scheme == "light" and width > 640 else TABS[:1]:
        page.locator("#tabs").get_by_role("tab", name=name, exact=True).click()
        expect(page.locator("#tabs").get_by_role("tab", name=name, exact=True)).to_have_attribute(
            "aria-selected", "true"
        )
        expect(page.locator(".progress-text:visible")).to_have_count(0)  # Gradio's progress text during a computation
        assert barriers(page) == [], name
    page.get_by_role("button", name="Present").click()
    assert barriers(page) == []


@pytest.mark.browser_pass
def test_names_are_real_the_focus_stays_and_the_result_is_spoken(page_at):
    page = page_at(1280, 800)
    for example in read_examples():
        button = page.locator("#examples").get_by_role("button", name=re.compile(re.escape(example.title)))
        expect(button).to_have_count(1)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the words")).to_be_focused()
    page.keyboard.press("Enter")
    words = page.locator("#words textarea")
    expect(words).to_be_focused()
    words.fill("dog; sky")
    words.press("Enter")
    expect_result_of(page, "dog; sky")
    expect(words).to_be_focused()
    page.locator("#segment").focus()
    words.evaluate("one => { one.value = 'dog; road'; one.dispatchEvent(new Event('input', { bubbles: true })); }")
    page.locator("#segment").press("Enter")
    expect_result_of(page, "dog; road")
    expect(page.locator("#segment")).to_be_focused()
    expect(page.locator("#status")).to_have_attribute("aria-live", "polite")
    expect(page.locator("#status")).to_contain_text(re.compile(r"Done: \w+ \d+\s%"))


def test_what_is_touched_on_a_phone_is_large_enough(page_at):
    page = page_at(375, 812, has_touch=True)
    for name in TABS:
        page.locator("#tabs").get_by_role("tab", name=name, exact=True).click()
        page.wait_for_function("document.querySelector('#tabs [role=tabpanel]:not([style*=none])') !== null")
        assert page.evaluate(TOO_SMALL) == [], name
        expect_no_sideways_scroll(page)


@pytest.mark.parametrize(("width", "height"), [(320, 256), (640, 400), (812, 375)])
def test_on_a_low_screen_nothing_covers_the_picture(page_at, width, height):
    page = page_at(width, height)
    for part in ("#ask", "#bar-place"):
        assert page.locator(part).evaluate("one => getComputedStyle(one).position") != "fixed"
    page.locator("#result .stage").scroll_into_view_if_needed()
    assert page.locator("#result .stage").bounding_box()["height"] >= min(200, height - 70)
    page.keyboard.press("End")
    expect_no_sideways_scroll(page)


def test_groups_have_names_and_gradio_s_own_announcements_are_silent(page_at):
    page = page_at(1280, 800)
    page.get_by_role("radio", name="paper-224").focus()
    expect(page.get_by_role("group", name="Preset")).to_have_count(1)
    page.locator("#words textarea").fill("horse; sky")
    page.locator("#words textarea").press("Enter")
    expect_result_of(page, "horse; sky")
    assert page.locator(".sr-only[role=status]").evaluate_all(
        "all => all.every(one => getComputedStyle(one).display === 'none')"
    )


def test_forced_colours_leave_what_is_chosen_visible(page_at):
    page = page_at(1280, 800, forced_colors="active")
    box = page.get_by_role("checkbox", name="everything else")
    assert box.evaluate("one => getComputedStyle(one).appearance") == "auto"
    chosen = page.locator("#tabs [role=tab][aria-selected=true]")
    assert chosen.evaluate("one => getComputedStyle(one).outlineStyle") == "solid"


def test_words_are_ticked_and_own_ones_kept(page_at):
    page = page_at(1280, 800)
    words, ticks = page.locator("#words textarea"), page.locator("#word-lists .ticks")
    words.fill("dog; grass | background: sky")
    page.locator("#word-lists .list").select_option("ade150")
    expect(ticks.get_by_label("grass", exact=True)).to_be_checked()
    ticks.get_by_label("wall", exact=True).check()
    expect(words).to_have_value("dog; grass; wall | background: sky")
    ticks.get_by_label("grass", exact=True).uncheck()
    expect(words).to_have_value("dog; wall | background: sky")
    words.fill("")
    page.locator("#word-lists .list").select_option("cityscapes")
    page.get_by_role("button", name="All of them").click()
    expect(words).to_have_value("cityscapes")
    ticks.get_by_label("road", exact=True).uncheck()
    expect(words).to_have_value(re.compile("^sidewalk; building; .*; bicycle$"))
    page.get_by_role("button", name="None", exact=True).click()
    expect(words).to_have_value("")
    words.fill("sand; car, taxi; road | background: wall")
    page.get_by_role("button", name="All of them").click()
    expect(words).to_have_value(re.compile("^sand; car, taxi; road; sidewalk; .*; bicycle \\| background: wall$"))
    assert "; car;" not in words.input_value()  # there already, with a synonym
    page.get_by_role("button", name="None", exact=True).click()
    expect(words).to_have_value("sand; car, taxi | background: wall")

    hostile = '<img src=x onerror="window.hit=1">'
    for name in (hostile, "zoo", hostile):  # the same name again replaces
        words.fill(f"cat; {name}")
        page.locator("#word-lists .own-name").fill(name)
        page.locator("#word-lists .own-name").press("Enter")
    page.reload()
    expect_result_of(page, f"cat; {hostile}")  # the typed words
    own = page.locator("#word-lists .own")
    assert own.locator("option").all_inner_texts() == [hostile, "zoo"]
    own.select_option("zoo")
    page.get_by_role("button", name="Use", exact=True).click()
    expect(words).to_have_value("cat; zoo")
    page.get_by_role("button", name="Delete", exact=True).click()
    assert own.locator("option").all_inner_texts() == [hostile]
    assert page.evaluate("window.hit") is None
    for rubbish in ("{", "7", '[{"name": 1}]', "null"):
        page.evaluate("text => localStorage.setItem('lab.vocabularies', text)", rubbish)
        page.evaluate("dispatchEvent(new StorageEvent('storage', { key: 'lab.vocabularies' }))")
        assert own.locator("option").all_inner_texts() == ["none saved yet"]


@pytest.mark.parametrize("lent", [True, False])
def test_the_result_is_copied_or_saved(page_at, lent):
    page = page_at(1280, 800, permissions=["clipboard-read", "clipboard-write"])
    button = page.get_by_role("button", name="Copy image")
    if lent:
        button.click()
        expect(page.locator("#result .said")).to_have_text("Copied.")
        kinds = page.evaluate("navigator.clipboard.read().then(items => items[0].types)")
        assert kinds == ["image/png"]
    else:
        page.evaluate("() => { delete window.ClipboardItem; }")
        with page.expect_download() as download:
            button.click()
        assert download.value.suggested_filename == "result.png"
        assert Path(download.value.path()).read_bytes().startswith(b"\x89PNG")
