"""The guided tour in a real browser: five steps, then its picture and words are opened on the page."""

from __future__ import annotations

import pytest

pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install -e '.[dev]'")
from playwright.sync_api import expect

from tests.e2e.steps import expect_result_of, open_example

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("width", [1280, 375])
def test_a_newcomer_walks_the_tour_and_takes_the_picture_over(open_page, artifacts, width):
    page = open_page(width)
    open_example(page, 1)  # not that of the tour, with which the page opens
    page.get_by_role("tab", name="Guided tour").click()
    for number in range(1, 6):
        expect(page.locator("#tour-text")).to_contain_text(f"Step {number} of 5", timeout=60_000)
        if number > 1:
            page.wait_for_function("document.querySelector('#tour-text').getBoundingClientRect().top >= -1")
        page.locator("#tour-right").scroll_into_view_if_needed()  # on a phone it is loaded lazily
        expect(page.locator("#tour-right img")).to_be_visible()
        page.screenshot(path=artifacts / f"tour_{width}_{number}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        if number < 5:
            page.locator("#tour-next").press("Enter")
    expect(page.locator("#tour-next")).to_be_disabled()
    expect(page.locator("#tour-take")).to_be_focused()
    page.locator("#tour-take").click()
    expect_result_of(page, "horse; grass, meadow; sky")
    expect(page.locator("#words textarea")).to_have_value("horse; grass, meadow; sky")
