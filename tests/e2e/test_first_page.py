"""What a person does on the first page, in a real browser, at desktop and phone width:

segment an upload and read the legend; new words without a new picture; click a patch, step by keyboard; an
example in one click; a file that is no picture; and nothing is asked of any other machine.
"""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install -e '.[dev]'")
from playwright.sync_api import expect

from demo.settings import EXAMPLES
from tests.e2e.steps import PATIENCE, WORDS, click_patch, expect_no_sideways_scroll, grid_of, segment

pytestmark = pytest.mark.e2e

DATA = Path(__file__).resolve().parents[1] / "data"
SLOW_CALLS = """() => {
  const prompt = window.fetch;
  window.late = 0;
  window.fetch = async (...asked) => {
    if (String(asked[0]?.url ?? asked[0]).includes('/run/')) {
      window.late += 1;
      await new Promise(done => setTimeout(done, 1500));
    }
    return prompt(...asked);
  };
}"""
"""Calls that do not wait in line take as long as on a busy server."""


@pytest.fixture
def picture() -> Path:
    found = EXAMPLES / "shepherd.jpg"
    return found if found.exists() else DATA / "golden" / "image0.png"


@pytest.mark.parametrize("width", [1280, 375])
def test_a_person_segments_a_picture_and_looks_at_a_patch(open_page, picture, artifacts, width):
    page = open_page(width, 900 if width > 600 else 800)
    expect(page.get_by_role("heading", name="CLIPtrase Lab")).to_be_visible()
    expect(page.locator(".strip.calm")).to_contain_text("nano", timeout=PATIENCE)
    page.screenshot(path=artifacts / f"first_page_{width}_1_opened.png", full_page=True)

    segment(page, picture)
    expect(page.locator("#legend")).to_contain_text("%")
    expect(page.locator("#costs")).to_contain_text(re.compile("encoded|reused"))
    box = page.locator("#overlay img").bounding_box()
    page.locator("#overlay img").click(position={"x": box["width"] / 2, "y": box["height"] / 2})
    expect(page.locator("#point")).to_contain_text("The patch itself says", timeout=PATIENCE)
    page.screenshot(path=artifacts / f"first_page_{width}_2_segmented.png", full_page=True)
    grid = grid_of(page)

    click_patch(page, 5, 3, grid)
    page.locator("#before").scroll_into_view_if_needed()
    expect(page.locator("#before img")).to_be_visible(timeout=PATIENCE)
    page.locator("#after").scroll_into_view_if_needed()
    expect(page.locator("#after img")).to_be_visible()
    expect(page.locator("#patch-facts")).to_contain_text("patch row 5, column 3")
    expect(page.locator("#row input")).to_have_value("5")
    page.screenshot(path=artifacts / f"first_page_{width}_3_patch.png", full_page=True)
    expect_no_sideways_scroll(page)
    assert page.strangers == []


def test_new_words_reuse_the_picture(open_page, picture):
    page = open_page(1280)
    segment(page, picture)
    page.locator("#words textarea").fill("zebra; mountain")
    page.locator("#go").click()
    expect(page.locator("#costs")).to_contain_text("reused", timeout=PATIENCE)
    expect(page.locator("#legend")).to_contain_text(re.compile("zebra|mountain"))


def test_a_picture_that_was_just_uploaded_can_be_segmented_at_once(open_page, picture):
    """What an upload clears never takes away the result that was asked for after it, however late it is answered."""
    page = open_page(1280)
    segment(page, DATA / "golden" / "image0.png")
    page.evaluate(SLOW_CALLS)
    first = page.locator("#overlay img").get_attribute("src")
    page.get_by_role("button", name="Remove Image").click()
    expect(page.locator("#overlay img")).to_be_hidden(timeout=PATIENCE)
    segment(page, picture)
    page.wait_for_timeout(4000)
    expect(page.locator("#overlay img")).to_be_visible()
    assert page.locator("#overlay img").get_attribute("src") != first
    assert page.evaluate("window.late") > 0, "nothing was slow: the test has lost its object"


def test_the_keyboard_reaches_every_patch_and_layer(open_page, picture):
    page = open_page(1280)
    segment(page, picture)
    page.get_by_role("tab", name="Attention").click()
    expect(page.locator("#patches img")).to_be_visible(timeout=PATIENCE)
    page.locator("#row input").fill("2")
    page.locator("#column input").fill("4")
    page.locator("#column input").press("Enter")
    expect(page.locator("#patch-facts")).to_contain_text("patch row 2, column 4", timeout=PATIENCE)
    page.locator("#layer input[type=range]").press("ArrowLeft")
    expect(page.locator("#patch-facts")).to_contain_text("Layer 10 of 12", timeout=PATIENCE)


def test_an_example_is_segmented_in_one_click(open_page, artifacts):
    if not (EXAMPLES / "examples.json").exists():
        pytest.skip("needs assets/examples")
    page = open_page(1280, color_scheme="dark")
    page.locator("#examples button img").nth(2).click()
    expect(page.locator("#overlay img")).to_be_visible(timeout=PATIENCE)
    expect(page.locator("#legend tbody tr").first).to_be_visible()
    page.screenshot(path=artifacts / "first_page_dark_example.png", full_page=True)


def test_a_new_picture_takes_the_old_results_away(open_page, picture):
    page = open_page(1280)
    segment(page, picture)
    page.get_by_role("button", name="Remove Image").click()
    expect(page.locator("#overlay img")).to_have_count(0)
    expect(page.locator("#legend tbody tr")).to_have_count(0)


def test_hostile_words_and_files_get_a_message(open_page, picture):
    page = open_page(1280)
    segment(page, picture, "<img src=x onerror=alert(1)>; sky")
    expect(page.locator("#legend")).to_contain_text(re.compile("onerror|sky"))
    assert page.locator("#legend img").count() == 0
    page.locator("#words textarea").fill("cat | floor")
    page.locator("#go").click()
    expect(page.locator(".toast-body")).to_contain_text("background:", timeout=PATIENCE)


def test_a_result_is_downloaded_as_masks_that_open(open_page, picture):
    page = open_page(1280)
    segment(page, picture)
    with page.expect_download(timeout=PATIENCE) as download:
        page.locator("#download").click()
    archive = zipfile.ZipFile(download.value.path())
    description = json.loads(archive.read(f"{picture.stem}.json"))
    assert [entry["name"] for entry in description["classes"]] == WORDS.split("; ")
    labels = np.asarray(Image.open(archive.open(f"{picture.stem}.labels.png")))
    assert labels.shape == np.asarray(Image.open(picture)).shape[:2]
    shares = {row["name"]: row["area"] for row in description["classes"]}
    assert shares["dog"] == pytest.approx(float((labels == 0).mean()))
    assert page.locator("#legend").inner_text().count("%") >= 2


def test_the_legend_sorts_by_its_heads(open_page, picture):
    page = open_page(1280)
    segment(page, picture)
    names = page.locator("#legend tbody th")
    before = names.all_inner_texts()
    page.locator("#legend button.sort", has_text="Class").press("Enter")
    expect(names.first).to_have_text(min(before))
    assert names.all_inner_texts() == sorted(before)


def test_opacity_and_style_repaint_without_a_new_result(open_page, picture):
    page = open_page(1280)
    segment(page, picture)
    first = page.locator("#overlay img").get_attribute("src")
    page.locator("#style").get_by_label("contour").check()
    expect(page.locator("#overlay img")).not_to_have_attribute("src", first, timeout=PATIENCE)
    expect(page.locator("#legend tbody tr").first).to_be_visible()
