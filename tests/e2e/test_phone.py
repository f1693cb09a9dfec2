"""A phone in a real browser: fingers on pictures that slide, rotation, what is in sight together."""

from __future__ import annotations

import pytest

pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install -e '.[dev]'")
from playwright.sync_api import expect

from tests.e2e import steps

pytestmark = pytest.mark.e2e

PHONE = {"has_touch": True, "is_mobile": True}
PATIENCE = 60_000
SCROLLED = "document.querySelector('.gradio-container').scrollTop"


@pytest.fixture
def phone(open_page):
    """Function that opens the page on a phone, and waits for the first result and its steps."""

    def open_at(width: int = 390, height: int = 844):
        page = open_page(width, height, **PHONE)
        steps.expect_result_of(page, steps.FIRST_WORDS)
        expect(page.locator("#lens .lens-tell")).to_contain_text("attention", timeout=PATIENCE)
        return page

    return open_at


def box_of(page, selector: str) -> dict[str, float]:
    return page.locator(selector).first.bounding_box()


def drag(page, start: tuple[float, float], by: tuple[float, float]) -> None:
    """Drag one finger."""
    browser, count = page.context.new_cdp_session(page), 8
    places = [{"x": start[0] + by[0] * i / count, "y": start[1] + by[1] * i / count} for i in range(count + 1)]
    browser.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": places[:1]})
    for place in places[1:]:
        browser.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [place]})
        page.wait_for_timeout(16)
    browser.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


@pytest.mark.parametrize("tab", ["Refine", "Compare"])
def test_a_finger_scrolls_over_two_pictures_and_drags_their_border_by_its_handle(phone, tab):
    page, name = phone(), tab.lower()
    page.get_by_role("tab", name=tab).tap()
    page.locator(f"#{name}-go").tap()
    expect(page.locator(f"#{name}-share")).to_contain_text("pixels", timeout=PATIENCE)
    slider, handle = page.locator(f"#{name}-slider"), page.locator(f"#{name}-slider [data-testid=slider]")
    slider.scroll_into_view_if_needed()
    expect(slider.locator("img").first).to_be_visible()
    page.wait_for_timeout(800)  # the page still scrolls to the tab
    box, before = slider.bounding_box(), page.evaluate(SCROLLED)
    border = handle.bounding_box()["x"]
    drag(page, (box["x"] + 60, box["y"] + box["height"] / 2), (0, -150))
    page.wait_for_function(f"{SCROLLED} > {before + 80}")
    assert handle.bounding_box()["x"] == pytest.approx(border, abs=1)
    box = handle.bounding_box()
    drag(page, (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2), (-80, 0))
    assert handle.bounding_box()["x"] == pytest.approx(border - 80, abs=15)


@pytest.mark.parametrize("place", ["#result .stage", "#lens .lens-panes", "#tabs .tab-wrapper"])
def test_a_phone_that_is_turned_shows_the_same_place(phone, place):
    page = phone()
    page.locator(place).evaluate("one => one.scrollIntoView()")
    page.wait_for_timeout(300)
    for size in ((844, 390), (390, 844)):
        page.set_viewport_size(dict(zip(("width", "height"), size, strict=True)))
        page.wait_for_timeout(500)
        box = box_of(page, place)
        assert box["y"] < size[1] / 2, size
        assert box["y"] + box["height"] > 0, size


def test_a_result_out_of_date_names_the_button_and_fields_do_not_enlarge_the_page(phone):
    page = phone()
    page.locator("#words textarea").fill("cup; table")
    said = page.locator("#status .strip").evaluate("one => getComputedStyle(one, '::after').content")
    assert "Press Segment." in said
    small = "all => all.filter(one => parseFloat(getComputedStyle(one).fontSize) < 16).map(one => one.outerHTML)"
    assert page.locator("textarea, select, input:not([type=file], [type=hidden])").evaluate_all(small) == []
