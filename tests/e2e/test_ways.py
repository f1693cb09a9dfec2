"""Navigation of the page in a real browser: tabs, and the four buttons on a phone."""

from __future__ import annotations

import pytest

pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install -e '.[dev]'")
from playwright.sync_api import expect

from tests.e2e.steps import FIRST_WORDS, PATIENCE, expect_result_of

pytestmark = pytest.mark.e2e

TOP = "document.querySelector('#tabs').getBoundingClientRect().top"


def test_a_tab_that_is_opened_comes_into_sight(open_page):
    page = open_page(1280, 800)
    expect_result_of(page, FIRST_WORDS)
    expect(page.locator("#lens .lens-tell")).to_contain_text("attention", timeout=PATIENCE)
    assert page.evaluate("scrollY") == 0
    for name, how in (("Batch", "click"), ("Guided tour", "press"), ("Settings", "press")):
        page.evaluate("scrollTo(0, 0)")
        tab = page.get_by_role("tab", name=name, exact=True)
        if how == "click":
            tab.click()
        else:
            tab.press("Enter")
        page.wait_for_function(f"{TOP} < innerHeight / 2")


def test_a_click_on_the_picture_moves_nothing(open_page):
    page = open_page(1280, 800)
    expect_result_of(page, FIRST_WORDS)
    expect(page.locator("#lens .lens-numbers")).to_contain_text("%", timeout=PATIENCE)
    before = page.locator("#lens").bounding_box()
    page.locator("#result canvas").click()
    expect(page.locator("#point")).to_contain_text("This patch alone says")
    assert abs(page.locator("#lens").bounding_box()["y"] - before["y"]) < 2


def test_a_phone_s_four_buttons_lead_to_four_parts_and_say_which_it_is(open_page):
    page = open_page(375, 812, has_touch=True)
    expect_result_of(page, FIRST_WORDS)
    expect(page.locator("#lens .lens-tell")).to_contain_text("attention", timeout=PATIENCE)
    buttons = page.locator("#bar button")
    expect(buttons.nth(0)).to_have_attribute("aria-current", "true")
    for number, tab in ((1, None), (2, "Refine"), (3, "Settings"), (2, "Refine"), (0, None)):
        buttons.nth(number).click()
        expect(page.locator("#bar [aria-current]")).to_have_text(buttons.nth(number).inner_text())
        if tab:
            expect(page.get_by_role("tab", name=tab, exact=True)).to_have_attribute("aria-selected", "true")
            page.wait_for_function(f"{TOP} < innerHeight / 2")
    heights = {box["y"] for box in (button.bounding_box() for button in buttons.all())}
    assert len(heights) == 1
