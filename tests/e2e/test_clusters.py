"""The Clusters tab in a real browser: two maps, a click, live controls, and no second run of the image model."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install -e '.[dev]'")
from playwright.sync_api import expect

from tests.e2e import steps

pytestmark = pytest.mark.e2e
PATIENCE = 60_000


@pytest.mark.parametrize("width", [1280, 375])
def test_a_person_sees_what_denoising_did_and_turns_the_controls(open_page, artifacts, width):
    page = open_page(width)
    steps.open_example(page, 1)
    page.get_by_role("tab", name="Clusters").click()
    expect(page.locator("#regions-after img")).to_be_visible(timeout=PATIENCE)
    expect(page.locator("#cluster-summary")).to_contain_text("noise patches")
    box = page.locator("#regions-after img").bounding_box()
    page.locator("#regions-after img").click(position={"x": box["width"] / 2, "y": box["height"] / 2})
    expect(page.locator("#region-facts")).to_contain_text("Patch row", timeout=PATIENCE)
    expect(page.locator("#region-table tbody tr").first).to_be_visible()
    page.screenshot(path=artifacts / f"clusters_{width}_1.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width

    automatic = page.locator("#eps input[type=number]").input_value()
    assert float(automatic) > 0
    before = page.locator("#cluster-summary").inner_text()
    page.locator("#automatic input").uncheck()
    expect(page.locator("#min-samples input[type=number]")).to_be_enabled(timeout=PATIENCE)
    page.locator("#min-samples input[type=number]").fill("30")
    page.locator("#min-samples input[type=number]").press("Tab")
    expect(page.locator("#cluster-summary")).not_to_have_text(before, timeout=PATIENCE)
    expect(page.locator("#costs")).to_contain_text(re.compile("reused.*min_samples 30", re.DOTALL), timeout=PATIENCE)
