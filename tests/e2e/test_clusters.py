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
    steps.expect_rows_shown(page, "#region-table .legend")
    steps.expect_rows_shown(page, "#legend .legend")
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


BOXES = """([outer, inner]) => [...document.querySelectorAll(inner)].filter(one => one.offsetWidth).map(one => {
  const [a, b] = [one.closest(outer), one].map(node => node.getBoundingClientRect());
  return [a.left - b.left, b.right - a.right, a.top - b.top, b.bottom - a.bottom];
})"""
"""How far the boxes of `inner` reach out of those of `outer` around them, in pixels, on each side."""
TEXT_AND_ARROW = """input => {
  const arrow = input.parentNode.querySelector(".dropdown-arrow").getBoundingClientRect();
  return [input.getBoundingClientRect().right - parseFloat(getComputedStyle(input).paddingRight), arrow.left];
}"""


@pytest.mark.parametrize("width", [360, 390])
def test_on_a_phone_fields_maps_and_tables_are_whole(open_page, artifacts, width):
    page = open_page(width, 844)
    steps.expect_result_of(page, steps.FIRST_WORDS)
    page.get_by_role("tab", name="Clusters").click()
    expect(page.locator("#regions-after img")).to_be_visible(timeout=PATIENCE)
    expect(page.locator("#region-table tbody tr").first).to_be_visible()
    for slider in ("#eps", "#min-samples"):
        (beyond,) = page.evaluate(BOXES, [".tab-like-container", f"{slider} input[type=number]"])
        assert max(beyond) <= 0.5, "cut"
        expect(page.locator(f"{slider} .min_value")).to_be_visible()
        expect(page.locator(f"{slider} .max_value")).to_be_visible()
    cut = page.locator("#region-table .legend").evaluate("table => table.scrollWidth - table.clientWidth")
    assert cut <= 0, "a column is cut"
    page.screenshot(path=artifacts / f"clusters_phone_{width}.png", full_page=True)

    for tab, maps in (("Clusters", ("regions-before", "regions-after")), ("Attention", ("before", "affinity"))):
        page.get_by_role("tab", name=tab).click()
        for name in maps:
            picture, bar = page.locator(f"#{name} img"), page.locator(f"#{name} .icon-button-wrapper")
            expect(picture).to_be_visible(timeout=PATIENCE)
            box = picture.bounding_box()
            assert bar.bounding_box()["y"] >= box["y"] + box["height"], "the buttons are below the picture"
            assert box["height"] >= 100
    page.locator("#before").get_by_role("button", name="Fullscreen").click()
    leave = page.locator("#before").get_by_role("button", name="Exit fullscreen mode")
    expect(leave).to_be_in_viewport(ratio=1)
    page.wait_for_function("document.querySelector('#before img').getBoundingClientRect().width > 300")
    leave.click()
    for tab, label in (("Refine", "Refiner"), ("Model", "Which model")):
        page.get_by_role("tab", name=tab).click()
        field = page.get_by_role("combobox", name=label).or_(page.get_by_label(label)).first
        expect(field).to_be_visible()
        text, arrow = field.evaluate(TEXT_AND_ARROW)
        assert text <= arrow, "the text runs under the arrow"
    steps.expect_no_sideways_scroll(page)
