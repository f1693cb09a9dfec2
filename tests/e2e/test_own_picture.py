"""A picture of one's own, in a real browser: how it comes, goes, and comes back."""

from __future__ import annotations

import pytest

pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install -e '.[dev]'")
from playwright.sync_api import expect

from demo.settings import EXAMPLES
from tests.e2e.steps import FIRST_WORDS, expect_no_sideways_scroll, expect_result_of

pytestmark = pytest.mark.e2e

COWS = EXAMPLES / "cows.jpg"


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (375, 812)])
def test_there_is_always_a_button_that_uploads(open_page, width, height):
    page = open_page(width, height)
    expect_result_of(page, FIRST_WORDS)
    button = page.locator("#upload button")
    expect(page.locator("#upload")).to_contain_text("or drop / paste")
    with page.expect_file_chooser():
        page.locator("#picture img").click(position={"x": 8, "y": 30})  # beside the cross
    with page.expect_file_chooser() as asked:
        button.press("Enter")
    asked.value.set_files(COWS)
    expect(page.locator("#status")).to_contain_text("Your picture is here")
    expect_no_sideways_scroll(page)
    page.get_by_role("button", name="Remove Image").click()
    expect(page.locator("#status")).to_contain_text("No picture")
    expect(page.locator("#result .stage img")).to_be_hidden()
    with page.expect_file_chooser():
        button.click()
