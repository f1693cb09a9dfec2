"""Correction of misspelt words in a real browser."""

from __future__ import annotations

import pytest

pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install -e '.[dev]'")
from playwright.sync_api import expect

from tests.e2e.steps import FIRST_WORDS, PATIENCE, expect_result_of

pytestmark = pytest.mark.e2e


def test_a_click_corrects_the_words_and_segments_again(open_page):
    page = open_page(1280, 800)
    expect_result_of(page, FIRST_WORDS)
    field = page.locator("#words textarea")
    field.fill("Hrose; grass\nmountian, hill")
    page.locator("#segment").click()
    button = page.get_by_role("button", name="Correct the spelling")
    button.click(timeout=PATIENCE)
    expect(field).to_have_value("horse; grass\nmountain, hill")
    expect(field).to_be_focused()
    expect_result_of(page, "horse; grass\nmountain, hill")
    expect(button).to_have_count(0, timeout=PATIENCE)
    assert "mountian" not in page.url
