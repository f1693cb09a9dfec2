"""The Refine tab in a real browser: before and after, a component by hand, the archive, missing weights, new words."""

from __future__ import annotations

import json
import re
import zipfile

import pytest

pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install -e '.[dev]'")
from playwright.sync_api import expect

from demo.settings import EXAMPLES
from tests.e2e import steps

pytestmark = pytest.mark.e2e

PATIENCE = 60_000


def open_example(page) -> None:
    steps.open_example(page, 3)
    page.get_by_role("tab", name="Refine").click()


def choose(page, name: str) -> None:
    page.locator("#refiner input").click()
    page.get_by_role("option", name=re.compile(f"^{name} ")).click()


@pytest.mark.parametrize("width", [1280, 375])
def test_a_person_refines_boundaries_and_decides_about_components(open_page, artifacts, width):
    page = open_page(width)
    open_example(page)
    page.locator("#refine-go").click()
    share = page.locator("#refine-share")
    expect(share).to_contain_text("pixels changed their class", timeout=PATIENCE)
    expect(page.locator("#refine-news")).to_contain_text("components have a new mask")
    expect(page.locator("#status")).to_contain_text("Refined by sam-nano+edges:")
    expect(page.locator("#result [value=refined]")).to_be_checked()
    expect(page.locator("#lens [data-view=words]").locator("..")).to_contain_text("Before refinement and fixes:")
    expect(page.locator("#refine-classes tbody tr").first).to_be_visible()
    for name in ("#refine-slider", "#refine-boundaries"):
        page.locator(name).scroll_into_view_if_needed()
        expect(page.locator(f"{name} img").first).to_be_visible(timeout=PATIENCE)
    page.screenshot(path=artifacts / f"refine_{width}_1_components.png", full_page=True)

    boxes = page.locator("#refine-components input[type=checkbox]")
    rows = page.locator("#refine-component-table tbody tr")
    expect(boxes).to_have_count(rows.count())
    before = share.inner_text()
    news = page.locator("#refine-news")
    taken = int(re.search(r"(\d+) of \d+ components", news.inner_text()).group(1))
    boxes.first.focus()
    page.keyboard.press("Space")
    expect(share).not_to_have_text(before, timeout=PATIENCE)
    expect(news).to_contain_text(f"{taken - 1} of {rows.count()} components have a new mask")
    expect(rows.first).to_contain_text("left out by the user")
    page.keyboard.press("Space")
    expect(share).to_have_text(before, timeout=PATIENCE)

    choose(page, "edges")
    expect(page.locator("#refine-mode")).to_be_hidden(timeout=PATIENCE)
    page.locator("#refine-go").press("Enter")
    expect(page.locator("#refine-component-table")).to_contain_text("does not work by components", timeout=PATIENCE)
    expect(page.locator("#refine-components")).to_be_hidden()
    page.screenshot(path=artifacts / f"refine_{width}_2_edges.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.strangers == []


def test_the_archive_holds_the_refinement(open_page, tmp_path):
    page = open_page(1280)
    open_example(page)
    page.locator("#refine-go").click()
    expect(page.locator("#refine-download")).to_be_visible(timeout=PATIENCE)
    with page.expect_download(timeout=PATIENCE) as download:
        page.locator("#refine-download").click()
    archive = zipfile.ZipFile(download.value.path())
    record = json.loads(archive.read(next(name for name in archive.namelist() if name.endswith(".json"))))
    assert record["refinement"]["refiner"] == "sam-nano+edges"
    assert record["refinement"]["components"]


def test_refined_boundaries_and_masks_chosen_by_hand_return_after_a_reload(open_page, tmp_path):
    page = open_page(1280)
    mine = tmp_path / "mine.jpg"
    mine.write_bytes((EXAMPLES / "horses.jpg").read_bytes() + b"mine")
    steps.segment(page, mine, "horse; grass; sky")
    page.locator("#result [value=refined]").check()
    expect(page.locator("#status")).to_contain_text("Refined by sam-nano+edges:")
    said = page.locator("#status").inner_text()
    page.wait_for_function("history.state?.kept?.fixes && location.search.includes('own=')")
    page.reload()
    expect(page.locator("#status")).to_have_text(said)
    expect(page.locator("#result [value=refined]")).to_be_checked()

    page.get_by_role("tab", name="Refine").click()
    page.locator("#refine-go").click()
    share = page.locator("#refine-share")
    expect(share).to_contain_text("pixels changed their class", timeout=PATIENCE)
    before = share.inner_text()
    page.locator("#refine-components input[type=checkbox]").nth(1).uncheck()  # the grass; the sky follows edges anyway
    expect(share).not_to_have_text(before, timeout=PATIENCE)
    page.wait_for_function('/"keep":\\[/.test(history.state?.kept?.fixes)')
    page.reload()
    expect(page.locator("#status")).to_contain_text("Refined by sam-nano+edges:", timeout=PATIENCE)
    with page.expect_download(timeout=PATIENCE) as download:
        page.locator("#download").click()
    archive = zipfile.ZipFile(download.value.path())
    record = json.loads(archive.read("mine-refined.json"))
    assert record["refinement"]["components"][1]["reason"] == "left out by the user"


def test_what_is_not_here_is_fetched_only_when_asked_and_offline_is_said(open_page, artifacts):
    page = open_page(1280)
    open_example(page)
    choose(page, "vit_b")
    fetch = page.locator("#refine-fetch")
    expect(fetch).to_have_text("Fetch vit_b (375 MB)", timeout=PATIENCE)
    page.locator("#refine-go").click()
    toasts = page.locator(".toast-wrap")  # further messages are folded into one
    expect(toasts).to_contain_text("Fetch it on the Refine tab first", timeout=PATIENCE)
    fetch.click()
    expect(toasts).to_contain_text("HF_HUB_OFFLINE=1", timeout=PATIENCE)
    expect(page.locator("#refine-fetch-news .busy, #refine-fetch-news .calm")).to_have_count(0, timeout=PATIENCE)
    page.screenshot(path=artifacts / "refine_1280_3_not_here.png")


def test_stop_ends_the_slowest_mode_and_the_next_press_works(open_page):
    page = open_page(1280)
    open_example(page)
    page.locator("#refine-mode").get_by_text("everything:").click()
    page.locator("#refine-go").click()
    expect(page.locator("#refine-news")).to_contain_text("sam-nano", timeout=PATIENCE)
    with page.expect_response("**/reset", timeout=PATIENCE):  # until then a second press counts as the first
        page.locator("#refine-stop").click()
    expect(page.locator("#refine-news")).to_contain_text("Stopped", timeout=PATIENCE)
    page.locator("#refine-mode").get_by_text("prompts:").click()
    page.locator("#refine-go").click()
    expect(page.locator("#refine-share")).to_contain_text("changed", timeout=PATIENCE)


def test_new_words_take_the_refined_result_away_and_another_can_be_made(open_page):
    page = open_page(1280)
    open_example(page)
    page.locator("#refine-go").click()
    expect(page.locator("#refine-share")).to_contain_text("changed", timeout=PATIENCE)
    page.locator("#words textarea").fill("zebra; mountain")
    page.locator("#segment").click()
    expect(page.locator("#refine-share")).to_be_hidden(timeout=PATIENCE)
    expect(page.locator("#refine-news")).to_contain_text("Press Refine")
    page.locator("#refine-go").click()
    expect(page.locator("#refine-component-table")).to_be_visible(timeout=PATIENCE)
    page.get_by_role("button", name="Remove Image").click()
    expect(page.locator("#refine-component-table")).to_be_hidden(timeout=PATIENCE)
