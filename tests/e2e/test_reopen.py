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


@pytest.mark.parametrize("content", [b"PK\x03\x04 but no more", b"words, not a zip"])
def test_what_is_no_result_is_said_and_the_page_stays(open_page, content):
    page = open_page(1280, 800)
    expect_result_of(page, FIRST_WORDS)
    page.locator("#reopen").scroll_into_view_if_needed()
    page.evaluate(DROP, ["#legend", "a.zip", base64.b64encode(content).decode()])
    expect(page.locator("#status")).to_contain_text("expected a result that was downloaded", timeout=PATIENCE)
    expect(page.locator("#status")).to_be_in_viewport()
    expect_result_of(page, FIRST_WORDS)
