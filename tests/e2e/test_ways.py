"""Navigation of the page in a real browser: tabs, and the four buttons on a phone."""

from __future__ import annotations

import pytest

pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install -e '.[dev]'")
from playwright.sync_api import expect

from demo.examples import read_examples
from tests.e2e.steps import FIRST_WORDS, PATIENCE, expect_no_sideways_scroll, expect_result_of

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


@pytest.mark.parametrize("width", [360, 390, 430, 640, 720, 820, 960, 1024, 1280])
def test_the_first_screen_has_the_words_at_every_width(open_page, width):
    page = open_page(width, 800)
    expect_result_of(page, FIRST_WORDS)
    box = {name: page.locator(f"#{name}").bounding_box() for name in ("words", "status", "ask", "segment")}
    assert box["words"]["y"] + box["words"]["height"] <= 800
    assert box["words"]["width"] >= 220
    assert box["status"]["width"] >= 110
    assert box["ask"]["height"] <= 150
    assert box["segment"]["x"] + box["segment"]["width"] <= width
    if page.locator("#banner .strip").count():
        assert page.locator("#banner").bounding_box()["height"] <= 120
    expect_no_sideways_scroll(page)


def test_the_last_of_several_quick_clicks_wins(open_page):
    page = open_page(1280, 800)
    expect_result_of(page, FIRST_WORDS)
    examples = page.locator("#examples button")
    for first, *others in ((3, 7), (5, 9, 2), (10, 4)):
        for number in (first, *others):
            examples.nth(number).click()
            page.wait_for_timeout(60)
        words = read_examples()[others[-1]].words
        expect(page.locator("#words textarea")).to_have_value(words, timeout=PATIENCE)
        expect_result_of(page, words)
        expect(page.locator("#stop")).to_be_hidden()


def test_stop_stays_until_the_answer_of_the_last_click(open_page):
    page = open_page(1280, 800)
    expect_result_of(page, FIRST_WORDS)
    expect(page.locator("#stop")).to_be_hidden()
    seen = page.evaluate("""() => {
      const after = call => { call(); return document.querySelector("#stop").offsetHeight > 0; };
      const click = () => { lab.started(""); lab.sending([true], 0); };
      const answer = () => lab.ended(), stop = () => lab.over("");
      return [click, answer, click, click, answer, answer, click, click, stop].map(after);
    }""")
    assert seen == [True, False, True, True, True, False, True, True, False]


def test_the_tab_key_leaves_no_list_behind(open_page):
    page = open_page(1280, 800)
    expect_result_of(page, FIRST_WORDS)
    page.locator("#formats input").focus()
    expect(page.get_by_role("option").first).to_be_visible()
    for _ in range(3):
        page.keyboard.press("Tab")
    page.wait_for_timeout(600)
    assert page.get_by_role("option").filter(visible=True).count() == 0
