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


def test_the_tab_and_the_lens_show_the_same_patch_layer_and_head(open_page):
    page = open_page(1280)
    facts, lens = page.locator("#patch-facts"), page.locator("#lens")
    expect(page.locator(".lens[data-shown]")).to_be_visible(timeout=PATIENCE)
    first = page.locator(".lens").get_attribute("data-shown")
    segment(page, EXAMPLES / "shepherd.jpg")
    expect(page.locator(".lens")).not_to_have_attribute("data-shown", first, timeout=PATIENCE)  # else keys are lost
    page.locator("#lens [data-view=before]").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowDown")
    chosen = lens.locator("[data-view=picture] ~ figcaption").inner_text().removeprefix("Patch in ").split(" of ")[0]
    page.get_by_role("tab", name="Attention").click()
    expect(facts).to_contain_text(f"Layer 11 of 12 · mean of all heads · patch {chosen}", timeout=PATIENCE)
    lens.locator("[data-do=shallower]").click()  # the lens is chosen, the open tab follows
    lens.locator(".lens-head").select_option("2")
    expect(facts).to_contain_text(f"Layer 10 of 12 · head 2 of 3 · patch {chosen}", timeout=PATIENCE)
    click_patch(page, 5, 3, grid_of(page))  # the tab is chosen, the lens and the address follow
    expect(facts).to_contain_text("patch row 5, column 3", timeout=PATIENCE)
    expect(lens).to_contain_text("Patch in row 5, column 3")
    page.locator("#layer input[type=number]").fill("7")
    page.locator("#layer input[type=number]").press("Enter")
    expect(lens.locator(".lens-layer")).to_have_text("Layer 7 of 12", timeout=PATIENCE)
    page.locator("#head input").click()
    page.get_by_role("option", name="mean of all heads").click()
    expect(lens.locator(".lens-head")).to_have_value("", timeout=PATIENCE)
    page.wait_for_timeout(1500)  # neither takes the other back
    expect(facts).to_contain_text("Layer 7 of 12 · mean of all heads · patch row 5, column 3")
    assert "patch=5%2C3&layer=7" in page.url
    page.get_by_role("tab", name="Settings").click()  # closed, the tab follows when it is opened again
    lens.locator("[data-view=before]").focus()
    page.keyboard.press("ArrowRight")
    page.get_by_role("tab", name="Attention").click()
    expect(facts).to_contain_text("patch row 5, column 4", timeout=PATIENCE)
    lens.locator("[data-view=before]").focus()
    page.keyboard.press("ArrowLeft")  # back to the patch that it showed before it was closed
    expect(facts).to_contain_text("patch row 5, column 3", timeout=PATIENCE)


def test_a_new_picture_takes_the_old_look_away(open_page):
    page = open_page(1280)
    segment(page, EXAMPLES / "shepherd.jpg")
    click_patch(page, 5, 3, grid_of(page))
    expect(page.locator("#before img")).to_be_visible(timeout=PATIENCE)
    page.get_by_role("button", name="Remove Image").click()
    expect(page.locator("#before img")).to_have_count(0, timeout=PATIENCE)
    expect(page.locator("#numbers")).to_have_text("")
    expect(page.locator("#patch-facts")).to_contain_text("Segment a picture")
