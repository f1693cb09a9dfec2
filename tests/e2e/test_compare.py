"""The Compare tab in a real browser: steps side by side, other words, a ground truth, a reset by new words."""

from __future__ import annotations

import re

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install -e '.[dev]'")
from playwright.sync_api import expect

from demo.service.compare import VARIANTS
from demo.settings import EXAMPLES
from tests.e2e import steps

pytestmark = pytest.mark.e2e

PATIENCE = 60_000


@pytest.fixture
def mask(tmp_path):
    """A ground truth file: sky in the upper half, grass in the lower, an ignored line between them."""
    with Image.open(EXAMPLES / "cows.jpg") as image:
        width, height = image.size
    labels = np.full((height, width), 4, dtype=np.uint8)
    labels[height // 2 :] = 1
    labels[height // 2 - 4 : height // 2 + 4] = 255
    path = tmp_path / "truth.png"
    Image.fromarray(labels).save(path)
    return path


def open_example(page) -> None:
    steps.open_example(page, 3)
    page.get_by_role("tab", name="Compare").click()


def choose(page, dropdown: str, name: str) -> None:
    page.locator(f"{dropdown} input").click()
    page.get_by_role("option", name=name, exact=True).click()


@pytest.mark.parametrize("width", [1280, 375])
def test_a_person_compares_steps_words_and_a_ground_truth(open_page, mask, artifacts, width):
    page = open_page(width)
    open_example(page)
    page.locator("#compare-go").click()
    expect(page.locator("#compare-share")).to_contain_text("of the pixels have another name", timeout=PATIENCE)
    expect(page.locator("#compare-news")).to_contain_text("not encoded again")
    expect(page.locator("#compare-gallery button img")).to_have_count(len(VARIANTS))
    widths = page.locator("#compare-gallery .thumbnail-item").evaluate_all("all => all.map(one => one.offsetWidth)")
    assert min(widths) >= 200, "results are compared, not stamps"
    expect(page.get_by_role("button", name="GEM", exact=True)).to_have_count(1)  # not "Thumbnail 9 of 11"
    page.locator("#compare-slider").scroll_into_view_if_needed()
    expect(page.locator("#compare-slider img").first).to_be_visible()
    border = page.locator("#compare-slider").get_by_role("slider", name="Border between left and right")
    border.focus()
    expect(border).to_have_attribute("aria-valuenow", "50")
    border.press("ArrowRight")
    expect(border).to_have_attribute("aria-valuenow", "55")
    border.press("Home")
    expect(border).to_have_attribute("aria-valuenow", "0")
    border.press("End")
    expect(border).to_have_attribute("aria-valuenow", "100")
    expect(page.locator("#compare-areas tbody tr", has_text="cow")).to_be_visible()
    page.screenshot(path=artifacts / f"compare_{width}_1_steps.png", full_page=True)

    first = page.locator("#compare-share").inner_text()
    page.locator("#compare-gallery button img").nth(1).click()
    expect(page.locator("#compare-after input")).to_have_value("+ recovery")
    expect(page.locator("#compare-share")).not_to_have_text(first, timeout=PATIENCE)

    page.locator("#other-words textarea").fill("calf; road")
    page.locator("#compare-go").click()
    expect(page.locator("#compare-areas tbody tr", has_text="calf")).to_be_visible(timeout=PATIENCE)
    page.locator("#truth button").first.click()
    page.locator("#mask input[type=file]").set_input_files(mask)
    expect(page.locator("#compare-scores")).to_contain_text("Mean IoU", timeout=PATIENCE)
    expect(page.locator("#compare-scores")).to_contain_text("Numbers of the ground truth: 0 cow, 1 grass")
    page.get_by_label("Numbers start at 1").check()
    expect(page.locator("#compare-scores")).to_contain_text("Numbers of the ground truth: 1 cow", timeout=PATIENCE)
    page.locator("#compare-errors").scroll_into_view_if_needed()
    expect(page.locator("#compare-errors img")).to_be_visible()
    steps.expect_rows_shown(page, "#compare-scores .legend", len(VARIANTS) + 2)
    steps.expect_rows_shown(page, "#compare-areas .legend")
    page.screenshot(path=artifacts / f"compare_{width}_2_words_and_truth.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.strangers == []


def test_a_result_beside_itself_has_no_changes_and_new_words_take_all_away(open_page):
    page = open_page(1280)
    open_example(page)
    page.locator("#compare-go").press("Enter")
    expect(page.locator("#compare-share")).to_contain_text(re.compile(r"\d\s%"), timeout=PATIENCE)
    choose(page, "#compare-before", "+ denoising")
    expect(page.locator("#compare-share")).to_contain_text("the same result", timeout=PATIENCE)
    page.locator("#words textarea").fill("zebra; mountain")
    page.locator("#segment").click()
    expect(page.locator("#compare-gallery")).to_be_hidden(timeout=PATIENCE)
    expect(page.locator("#compare-share")).to_be_hidden()
    expect(page.locator("#compare-news")).to_contain_text("Press Compare")


def test_a_mask_of_another_size_is_said_with_both_sizes(open_page, tmp_path):
    path = tmp_path / "small.png"
    Image.new("L", (5, 3)).save(path)
    page = open_page(1280)
    open_example(page)
    page.locator("#compare-go").click()
    expect(page.locator("#compare-share")).to_contain_text(re.compile(r"\d\s%"), timeout=PATIENCE)
    page.locator("#truth button").first.click()
    page.locator("#mask input[type=file]").set_input_files(path)
    expect(page.locator(".strip.bad")).to_contain_text("got 3 x 5", timeout=PATIENCE)
    expect(page.locator("#compare-share")).to_be_visible()
