"""The Attention tab in a real browser: a known patch, arrows by keyboard, head, direction, [CLS], matrix, scale."""

from __future__ import annotations

import pytest

pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install -e '.[dev]'")
from playwright.sync_api import expect

from demo.settings import EXAMPLES
from tests.e2e.steps import PATIENCE, click_patch, expect_no_sideways_scroll, grid_of, segment

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("width", [1280, 375])
def test_a_newcomer_clicks_a_patch_and_reads_what_recovery_did(open_page, artifacts, width):
    page = open_page(width)
    segment(page, EXAMPLES / "shepherd.jpg")
    click_patch(page, 5, 3, grid_of(page))
    facts = page.locator("#patch-facts")
    expect(facts).to_contain_text("patch row 5, column 3", timeout=PATIENCE)
    expect(facts).to_contain_text("Before recovery")
    expect(page.locator("#numbers")).to_contain_text("Goes to global patches")
    expect(page.locator("#depth li")).to_have_count(12)
    expect(page.locator("#depth li[aria-current]")).to_contain_text("11")
    for name in ("before", "after", "difference", "affinity"):
        page.locator(f"#{name}").scroll_into_view_if_needed()  # loaded lazily
        expect(page.locator(f"#{name} img")).to_be_visible()
    page.screenshot(path=artifacts / f"attention_{width}_1_patch.png", full_page=True)

    for arrow, place in (("right", "row 5, column 4"), ("down", "row 6, column 4"), ("left", "row 6, column 3")):
        page.locator(f"#step-{arrow}").press("Enter")
        expect(facts).to_contain_text(f"patch {place}", timeout=PATIENCE)
    page.locator("#step-up").press("Enter")
    expect(page.locator("#row input")).to_have_value("5", timeout=PATIENCE)

    page.locator("#head input").click()
    page.get_by_role("option", name="head 2").click()
    expect(facts).to_contain_text("head 2 of", timeout=PATIENCE)
    page.locator("#direction").get_by_label("attention to this patch").check()
    expect(facts).to_contain_text("times uniform attention", timeout=PATIENCE)
    expect(page.locator("#numbers")).to_contain_text("Comes from global patches")
    page.locator("#subject").get_by_label("[CLS]").check()
    expect(facts).to_contain_text("[CLS]'s attention", timeout=PATIENCE)
    expect(page.locator("#direction").get_by_label("attention to this patch")).to_be_disabled()
    page.locator("#subject").get_by_label("whole matrix").check()
    expect(facts).to_contain_text("an average patch's attention", timeout=PATIENCE)
    page.locator("#scale").get_by_label("each its own").check()
    expect(page.locator("#scales")).to_contain_text("cosine", timeout=PATIENCE)
    page.screenshot(path=artifacts / f"attention_{width}_2_matrix.png", full_page=True)
    expect_no_sideways_scroll(page)
    assert page.strangers == []


def test_a_new_picture_takes_the_old_look_away(open_page):
    page = open_page(1280)
    segment(page, EXAMPLES / "shepherd.jpg")
    click_patch(page, 5, 3, grid_of(page))
    expect(page.locator("#before img")).to_be_visible(timeout=PATIENCE)
    page.get_by_role("button", name="Remove Image").click()
    expect(page.locator("#before img")).to_have_count(0, timeout=PATIENCE)
    expect(page.locator("#numbers")).to_have_text("")
    expect(page.locator("#patch-facts")).to_contain_text("Segment a picture")
