"""Photographs of a phone in a real browser: shown at screen size, downloaded at full size."""

from __future__ import annotations

import base64
import io
import re
import zipfile

import pytest

pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install -e '.[dev]'")
import pillow_heif
from PIL import Image
from playwright.sync_api import expect

from tests.e2e.steps import (
    FIRST_WORDS,
    click_patch,
    expect_no_sideways_scroll,
    expect_result_of,
    grid_of,
    segment,
    upload,
)
from tests.photographs import photograph

pytestmark = pytest.mark.e2e
PATIENCE = 60_000
NATURAL = "image => [image.naturalWidth, image.naturalHeight]"
SHAPED = """shape => {
  const pane = document.querySelector("#lens [data-view=before]");
  return pane.offsetHeight && Math.abs(pane.offsetWidth / pane.offsetHeight / shape - 1) < 0.03;
}"""


@pytest.mark.parametrize(("width", "size"), [(1280, (3000, 4000)), (375, (4000, 3000))])
def test_twelve_megapixels_are_shown_clicked_and_downloaded(open_page, artifacts, tmp_path, width, size):
    page = open_page(width)
    segment(page, photograph(tmp_path / "phone.jpg", 1, size, quality=80), "person; wall; flag")
    overlay = page.locator("#result img")
    assert overlay.evaluate(NATURAL) == ([1280, 960] if size[1] > size[0] else [960, 1280])
    page.screenshot(path=artifacts / f"photograph_{width}.png")
    page.locator("#result canvas").click()
    expect(page.locator("#point")).to_contain_text(re.compile(r"at column \d+, row \d+"), timeout=PATIENCE)
    column, row = map(int, re.search(r"column (\d+), row (\d+)", page.locator("#point").inner_text()).groups())
    assert abs(column - size[1] / 2) < 0.02 * size[1], "in the photograph's own pixels"
    assert abs(row - size[0] / 2) < 0.02 * size[0]

    h, w = grid_of(page)
    click_patch(page, h - 2, 1, (h, w))
    expect(page.locator("#row input")).to_have_value(str(h - 2), timeout=PATIENCE)
    expect(page.locator("#column input")).to_have_value("1")

    with page.expect_download(timeout=PATIENCE) as download:
        page.locator("#download").click()
        expect(page.locator("#download")).to_contain_text("%")
    with zipfile.ZipFile(io.BytesIO(download.value.path().read_bytes())) as archive:
        for name in ("phone.labels.png", "phone.overlay.png"):
            with Image.open(archive.open(name)) as picture:
                assert picture.size == size[::-1]
    expect(page.locator("#download")).to_have_text("Download")
    expect_no_sideways_scroll(page)
    assert page.strangers == []


@pytest.mark.parametrize("kind", ["heic", "tif"])
def test_a_picture_that_the_browser_cannot_show_is_read_all_the_same(open_page, tmp_path, kind):
    pillow_heif.register_heif_opener()
    page = open_page(1280)
    preview = page.locator("#picture img")
    segment(page, photograph(tmp_path / f"phone.{kind}", 1, (600, 800)), "person; wall")
    assert "cannot preview this file" in preview.get_attribute("alt")
    assert page.locator("#result img").evaluate(NATURAL) == [800, 600]
    upload(page, photograph(tmp_path / "phone.png", 2, (60, 80)))
    expect(preview).to_have_attribute("alt", "")
    page.wait_for_function("document.querySelector('#picture img')?.naturalWidth")
    assert preview.evaluate(NATURAL) == [80, 60]


@pytest.mark.parametrize("way", ["upload", "drop"])
def test_a_heic_without_a_type_is_taken(open_page, tmp_path, way):
    """Chromium gives it none; Gradio's picture accepts image/* only."""
    pillow_heif.register_heif_opener()
    page = open_page(1280)
    expect_result_of(page, FIRST_WORDS)
    path = photograph(tmp_path / "phone.heic", 1, (600, 800))
    if way == "upload":
        page.locator("#picture input[type=file]").set_input_files(
            {"name": "IMG_1.HEIC", "mimeType": "", "buffer": path.read_bytes()}
        )
    else:
        page.evaluate(
            """code => {
                const carrier = new DataTransfer(), bytes = Uint8Array.from(atob(code), letter => letter.charCodeAt(0));
                carrier.items.add(new File([bytes], "IMG_1.HEIC", { type: "" }));
                const event = new DragEvent("drop", { dataTransfer: carrier, bubbles: true, cancelable: true });
                document.querySelector("#picture img").dispatchEvent(event);
            }""",
            base64.b64encode(path.read_bytes()).decode(),
        )
    expect(page.locator("#status")).to_contain_text("Your picture is here", timeout=PATIENCE)
    page.locator("#words textarea").fill("person; wall")
    page.locator("#segment").click()
    expect_result_of(page, "person; wall")
    assert page.locator("#result img").evaluate(NATURAL) == [800, 600]


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
@pytest.mark.parametrize("size", [(2016, 240), (240, 2016)])
def test_very_tall_and_very_wide_pictures_fit_the_screen(open_page, artifacts, tmp_path, width, height, size):
    page = open_page(width, height)
    segment(page, photograph(tmp_path / "strip.jpg", 1, size), "building; everything orange; wall")
    page.wait_for_function(SHAPED, arg=size[1] / size[0], timeout=PATIENCE)  # the lens of this picture
    visible = height - (page.locator("#ask").bounding_box()["height"] + 48 if width < 600 else 0)
    names = page.locator("#result .names span:visible")
    expect(names.first).to_be_visible()
    stage, whole = page.locator("#result .stage").bounding_box(), page.locator("#result").bounding_box()
    if width < 600:  # the page scrolls to the result
        page.wait_for_function("document.querySelector('#result').getBoundingClientRect().top < 60")
        stage = page.locator("#result .stage").bounding_box()
    assert stage["y"] >= 0
    assert stage["y"] + stage["height"] <= visible
    assert min(stage["width"], stage["height"]) >= 40
    for name in names.all():
        box = name.bounding_box()
        assert name.evaluate("name => name.scrollWidth <= name.clientWidth"), "cut"
        assert whole["x"] <= box["x"]
        assert box["x"] + box["width"] <= whole["x"] + whole["width"]
    if size[0] > size[1]:
        assert names.first.bounding_box()["x"] >= stage["x"] + stage["width"], "beside the picture, not over it"
    pane = page.locator("#lens [data-view=before]").bounding_box()
    assert pane["height"] <= visible - 80
    assert min(pane["width"], pane["height"]) >= 40
    expect_no_sideways_scroll(page)
    page.screenshot(path=artifacts / f"strip_{width}_{size[0]}.png", full_page=True)


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (390, 844)])
def test_on_a_slide_a_panorama_and_its_map_are_below_each_other(open_page, artifacts, tmp_path, width, height):
    page = open_page(width, height)
    segment(page, photograph(tmp_path / "strip.jpg", 1, (300, 3200)), "building; wall")
    page.wait_for_function(SHAPED, arg=3200 / 300, timeout=PATIENCE)
    page.get_by_role("button", name="Present").click()
    page.screenshot(path=artifacts / f"strip_slide_{width}.png")
    picture, before = (
        page.locator(f"dialog[open] [data-view={view}]").bounding_box() for view in ("picture", "before")
    )
    assert picture["width"] == before["width"] > 0.9 * width
    assert picture["y"] + picture["height"] < before["y"]
