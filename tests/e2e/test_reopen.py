"""A downloaded result, dropped on the page in a real browser: words, settings and fixes are restored."""

from __future__ import annotations

import base64

import pytest

pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install -e '.[dev]'")
from playwright.sync_api import expect

from demo.settings import EXAMPLES
from tests.e2e.steps import FIRST_WORDS, PATIENCE, expect_result_of, open_example, segment

pytestmark = pytest.mark.e2e

DROP = """([place, name, code]) => {
  const carrier = new DataTransfer(), bytes = Uint8Array.from(atob(code), letter => letter.charCodeAt(0));
  carrier.items.add(new File([bytes], name, { type: "application/zip" }));
  const how = { dataTransfer: carrier, bubbles: true, cancelable: true };
  document.querySelector(place).dispatchEvent(new DragEvent("drop", how));
}"""


def test_a_downloaded_result_opens_again(open_page):
    page = open_page(1280, 800)
    segment(page, EXAMPLES / "cows.jpg", "cow; grass; sky")
    page.get_by_label("Image prior").check()
    expect(page.locator("#costs")).not_to_contain_text("encoded", timeout=PATIENCE)
    expect(page.locator("#stop")).to_be_hidden()
    page.locator(".open-bench").click()
    page.get_by_label("brush").check()
    box = page.locator("#result canvas").bounding_box()
    page.mouse.move(box["x"] + 60, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + 120, box["y"] + 40, steps=4)
    page.mouse.up()
    expect(page.locator("#status")).to_contain_text("1 fix", timeout=PATIENCE)
    page.locator(".open-bench").click()
    legend = page.locator("#legend tbody").inner_text()
    with page.expect_download(timeout=PATIENCE) as download:
        page.locator("#download").click()
    archive = download.value.path()

    open_example(page, 4)
    code = base64.b64encode(archive.read_bytes()).decode()
    for place, name in (("#legend", "a.zip"), ("#picture", "b.zip")):  # anywhere on the page, and on the picture's box
        page.locator("#reopen").scroll_into_view_if_needed()
        page.evaluate(DROP, [place, name, code])
        expect(page.locator("#status")).to_contain_text("Opened: cows.jpg", timeout=PATIENCE)
        expect(page.locator("#status")).to_contain_text("The result is the saved one.")
        for part in ("#status", "#result canvas"):
            expect(page.locator(part)).to_be_in_viewport()
        expect_result_of(page, "cow; grass; sky")
        expect(page.locator("#words textarea")).to_have_value("cow; grass; sky")
        expect(page.locator("#legend tbody")).to_have_text(legend, use_inner_text=True)
        expect(page.get_by_label("Image prior")).to_be_checked()
        expect(page.locator("#picture img")).to_be_visible()
        page.reload()
        expect_result_of(page, "cow; grass; sky")
    open_example(page, 4)
    page.locator("#picture input[type=file]").set_input_files(
        {"name": "c.zip", "mimeType": "application/zip", "buffer": archive.read_bytes()}
    )
    expect(page.locator("#status")).to_contain_text("Opened: cows.jpg", timeout=PATIENCE)
    expect_result_of(page, "cow; grass; sky")
    assert page.strangers == []


@pytest.mark.parametrize("width", [1280, 375])
def test_the_zip_of_a_batch_fills_the_queue_with_its_fixes(open_page, artifacts, width):
    page = open_page(1280, 800)
    expect_result_of(page, FIRST_WORDS)
    page.get_by_role("tab", name="Batch").click()
    page.locator("#words textarea").fill("cow; grass; horse")
    page.locator("#batch-files input[type=file]").set_input_files([EXAMPLES / "cows.jpg", EXAMPLES / "horses.jpg"])
    expect(page.locator("#batch-queue img")).to_have_count(2)
    page.locator("#batch-go").click()
    expect(page.locator("#batch-queue li.done")).to_have_count(2)
    page.get_by_role("button", name="Show above").first.click()
    expect(page.locator("#status")).to_contain_text("From the batch: cows.jpg")
    page.locator("#result .open-bench").click()
    page.locator("#result [name=tool][value=brush]").check()
    page.locator("#result .bench select").select_option("horse")
    page.locator("#result canvas").press("Enter")
    expect(page.locator("#status")).to_contain_text("Coarse, 1 fix:")
    with page.expect_download() as download:
        page.locator("#batch-download").click()
    content = download.value.path().read_bytes()

    page = open_page(width, 800)
    expect_result_of(page, FIRST_WORDS)
    page.evaluate(DROP, ["#legend", "batch.zip", base64.b64encode(content).decode()])
    expect(page.locator("#status")).to_contain_text("a batch of 2 pictures, 1 with changes by hand.", timeout=PATIENCE)
    expect(page.get_by_role("tab", name="Batch")).to_have_attribute("aria-selected", "true")
    expect(page.locator("#batch-queue li.done")).to_have_count(2)
    expect(page.locator("#batch-news")).to_contain_text("2 of 2 are done, 1 with your changes.")
    expect(page.locator("#words textarea")).to_have_value("cow; grass; horse")
    expect(page.locator("#stop")).to_be_hidden()
    expect(page.locator("#batch-news")).to_be_in_viewport()
    page.screenshot(path=artifacts / f"batch_opened_{width}.png")
    page.get_by_role("button", name="Show above").first.click()
    expect(page.locator("#status")).to_contain_text("From the batch: cows.jpg. Coarse, 1 fix:")
    expect_result_of(page, "cow; grass; horse")
    assert page.strangers == []


@pytest.mark.parametrize("place", ["#legend", "#picture"])
def test_a_dropped_file_of_another_kind_is_refused_with_advice(open_page, place):
    page = open_page(1280, 800)
    expect_result_of(page, FIRST_WORDS)
    drop = DROP.replace("application/zip", "")
    status, code = page.locator("#status"), base64.b64encode(b"{}").decode()
    expected = "Expected a picture, or the zip of a result, got "
    for _ in range(2):  # also the second time
        page.evaluate(drop, [place, "<b>.txt", code])
        expect(status).to_contain_text(f"Not possible. {expected}<b>.txt. Drop one of these.")
        page.evaluate(drop, [place, "cows.JSON", code])
        expect(status).to_contain_text(f"{expected}cows.JSON. A saved result opens by its zip: drop that.")
        page.locator("#segment").click()
        expect(status).to_contain_text("Done:")
    page.mouse.wheel(0, 5000)
    expect(status).not_to_be_in_viewport()  # the wheel scrolls later
    page.evaluate(drop, ["#tabs", "notes.md", code])
    expect(status).to_contain_text("got notes.md.")
    expect(status).to_be_in_viewport()
    expect_result_of(page, FIRST_WORDS)


@pytest.mark.parametrize("content", [b"PK\x03\x04 but no more", b"words, not a zip"])
def test_what_is_no_result_is_said_and_the_page_stays(open_page, content):
    page = open_page(1280, 800)
    expect_result_of(page, FIRST_WORDS)
    page.locator("#reopen").scroll_into_view_if_needed()
    page.evaluate(DROP, ["#legend", "a.zip", base64.b64encode(content).decode()])
    expect(page.locator("#status")).to_contain_text("expected a result that was downloaded", timeout=PATIENCE)
    expect(page.locator("#status")).to_be_in_viewport()
    expect_result_of(page, FIRST_WORDS)
