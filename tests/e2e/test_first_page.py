"""First page in a real browser, at desktop and phone width.

Segment an upload and read the legend; new words for the same picture; click a patch, step by keyboard; an example in
one click; hostile words; no requests to any other machine.
"""

from __future__ import annotations

import base64
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
from tests.e2e.steps import (
    FIRST_WORDS,
    PATIENCE,
    WORDS,
    click_patch,
    expect_no_sideways_scroll,
    expect_result_of,
    function_asked,
    grid_of,
    open_example,
    segment,
)

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
"""Script that delays calls outside the queue by 1.5 s, as on a busy server."""


@pytest.fixture
def picture() -> Path:
    found = EXAMPLES / "shepherd.jpg"
    return found if found.exists() else DATA / "golden" / "image0.png"


@pytest.mark.parametrize("width", [pytest.param(1280, marks=pytest.mark.browser_pass), 375])
def test_a_person_segments_a_picture_and_looks_at_a_patch(open_page, picture, artifacts, width):
    page = open_page(width, 900 if width > 600 else 800)
    expect(page.get_by_role("heading", name="CLIPtrase Lab")).to_be_visible()
    expect(page.locator("#banner .strip")).to_contain_text("nano", timeout=PATIENCE)
    page.screenshot(path=artifacts / f"first_page_{width}_1_opened.png", full_page=True)

    segment(page, picture)
    expect(page.locator("#legend")).to_contain_text("%")
    expect(page.locator("#costs")).to_contain_text(re.compile("encoded|reused"))
    page.locator("#result canvas").click()
    expect(page.locator("#point")).to_contain_text("This patch alone says", timeout=PATIENCE)
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
    page.locator("#segment").click()
    expect_result_of(page, "zebra; mountain")
    expect(page.locator("#costs")).to_contain_text("reused", timeout=PATIENCE)
    expect(page.locator("#legend")).to_contain_text(re.compile("zebra|mountain"))


def test_a_picture_that_was_just_uploaded_can_be_segmented_at_once(open_page, picture):
    """An upload clears the old result. A late answer to this must not remove the new result."""
    page = open_page(1280)
    segment(page, DATA / "golden" / "image0.png")
    page.evaluate(SLOW_CALLS)
    first = page.locator("#result img").get_attribute("src")
    page.get_by_role("button", name="Remove Image").click()
    expect(page.locator("#result .names span")).to_have_count(0, timeout=PATIENCE)
    segment(page, picture)
    page.wait_for_timeout(4000)
    expect(page.locator("#result .names span").first).to_be_visible()
    assert page.locator("#result img").get_attribute("src") != first
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
    page = open_page(1280, color_scheme="dark")
    open_example(page, 4)
    expect(page.locator("#examples img").nth(4)).to_have_attribute("alt", re.compile("mountains.*blue sky"))
    page.screenshot(path=artifacts / "first_page_dark_example.png", full_page=True)


@pytest.mark.browser_pass
@pytest.mark.parametrize(("width", "height"), [(1280, 800), (375, 812)])
def test_the_page_opens_with_a_result_on_one_screen(open_page, artifacts, width, height):
    page = open_page(width, height)
    expect_result_of(page, FIRST_WORDS)
    for name in FIRST_WORDS.split("; ")[:2]:
        expect(page.locator("#result .names")).to_contain_text(name.split(",")[0])
    expect(page.locator("#status")).to_contain_text("Done: sky")
    expect(page.locator("#status")).to_have_attribute("aria-live", "polite")
    expect(page.locator("#lens .lens-tell")).to_contain_text("of its attention went to", timeout=PATIENCE)
    expect(page.locator("#spot")).to_contain_text("This spot:")
    expect(page.locator("#stop")).to_be_hidden()
    last = page.locator("#lens [data-view=words]" if width > 600 else "#result canvas").bounding_box()
    assert last["y"] + last["height"] <= height
    expect_no_sideways_scroll(page)
    page.screenshot(path=artifacts / f"first_screen_{width}.png")


@pytest.mark.browser_pass
def test_edited_words_mark_the_result_and_enter_makes_a_new_one(open_page):
    page = open_page(1280)
    expect_result_of(page, FIRST_WORDS)
    words = page.locator("#words textarea")
    words.fill("dog; road")
    expect(page.locator("body")).to_have_class(re.compile("out-of-date"))
    words.press("Shift+Enter")
    assert words.input_value() == "dog; road\n"
    words.fill("dog; road")
    words.press("Enter")
    expect_result_of(page, "dog; road")
    expect(page.locator("body")).not_to_have_class(re.compile("out-of-date"))
    page.reload()
    expect_result_of(page, "dog; road")


def test_settings_come_back_with_a_reload(open_page):
    page = open_page(1280)
    expect_result_of(page, FIRST_WORDS)
    page.locator("#tabs").get_by_label("words", exact=True).check()
    background = page.get_by_label("Background words")
    background.fill("bushes")
    background.press("Enter")
    expect(page.locator("#legend")).to_contain_text("background", timeout=PATIENCE)
    page.wait_for_url(re.compile("background_words=bushes"))
    page.reload()
    expect(page.locator("#legend")).to_contain_text("background", timeout=PATIENCE)
    expect(background).to_have_value("bushes")


def test_typed_words_come_back_with_a_reload(open_page):
    page = open_page(1280, 800)
    expect_result_of(page, FIRST_WORDS)
    page.locator("#words textarea").fill("horse; grass; clouds")
    page.reload()
    expect_result_of(page, "horse; grass; clouds")
    expect(page.locator("#words textarea")).to_have_value("horse; grass; clouds")
    page.locator("#words textarea").fill("horse; meadow")
    page.locator("#words textarea").press("Enter")
    expect_result_of(page, "horse; meadow")
    page.locator("#words textarea").fill("horse; tree")
    page.locator("#words textarea").press("Enter")
    expect_result_of(page, "horse; tree")
    page.locator("#words textarea").fill("not sent")
    page.go_back()  # to the words of that result
    expect_result_of(page, "horse; meadow")


def test_a_class_without_pixels_is_asked_for_alone(open_page):
    page = open_page(1280, 800)
    expect_result_of(page, FIRST_WORDS)
    page.locator("#words textarea").fill("horse; grass; sky; mane")
    page.locator("#words textarea").press("Enter")
    page.locator("#absent").get_by_role("button", name="mane").click(timeout=PATIENCE)
    expect_result_of(page, "mane")
    expect(page.get_by_role("checkbox", name="everything else")).to_be_checked()
    expect(page.locator("#legend tbody tr")).to_have_count(2)


def test_the_page_below_the_lens_stays_where_it_is_whatever_the_pointer_meets(open_page):
    page = open_page(1280, 800)
    expect_result_of(page, FIRST_WORDS)
    numbers, picture = page.locator("#lens .lens-numbers"), page.locator("#lens [data-view=picture]")
    page.locator("#words textarea").fill("dog")
    page.locator("#words textarea").press("Enter")
    expect(numbers).to_contain_text("everything else", timeout=PATIENCE)  # a long line: it is cut, not wrapped
    box, places = picture.bounding_box(), set()
    for share in (0.1, 0.35, 0.6, 0.9):
        picture.hover(position={"x": share * box["width"], "y": share * box["height"]})
        places.add(page.locator("#tabs").bounding_box()["y"])
    assert len(places) == 1
    assert numbers.bounding_box()["height"] < 30, "one line"
    expect_no_sideways_scroll(page)


def test_an_error_stands_in_the_status_and_the_last_result_stays(open_page):
    page = open_page(1280)
    expect_result_of(page, FIRST_WORDS)
    page.locator("#words textarea").fill("cat | floor")
    page.locator("#words textarea").press("Enter")
    expect(page.locator("#status .bad")).to_contain_text("background:", timeout=PATIENCE)
    page.locator("#words textarea").fill("")
    page.locator("#segment").click()
    said = page.locator("#status .bad")
    expect(said).to_contain_text("Type at least one class, for example: cat; sofa.", timeout=PATIENCE)
    assert said.evaluate("strip => strip.scrollHeight <= strip.clientHeight"), "cut off"
    expect_result_of(page, FIRST_WORDS)
    expect(page.locator("#stop")).to_be_hidden()


def test_the_two_shares_of_a_spot_never_add_to_more_than_100(open_page):
    page = open_page(1280)
    words = page.locator("#words textarea")
    expect_result_of(page, FIRST_WORDS)
    words.fill("dog; grass")
    words.press("Enter")
    expect_result_of(page, "dog; grass")
    spots = page.evaluate(
        """() => {
          const canvas = document.querySelector("#result canvas"), box = canvas.getBoundingClientRect(), said = [];
          for (let y = 0.01; y < 1; y += 0.02) for (let x = 0.01; x < 1; x += 0.02) {
            const at = { clientX: box.left + x * box.width, clientY: box.top + y * box.height };
            canvas.dispatchEvent(new PointerEvent("pointermove", at));
            said.push(document.querySelector("#spot .now").textContent);
          }
          return said;
        }"""
    )
    for spot in spots:
        two = [float(share) for share in re.findall(r"(\d+\.\d)\s%", spot)]
        assert len(two) == 2, spot
        assert 99.85 <= sum(two) <= 100.05 + 0.1 * ("< 0.1" in spot), spot


@pytest.mark.parametrize("width", [1280, 375])
def test_the_line_the_facts_and_the_lens_say_the_same_of_a_spot(open_page, width):
    page = open_page(width)
    expect_result_of(page, FIRST_WORDS)
    expect(page.locator("#lens .lens-tell")).to_contain_text("attention", timeout=PATIENCE)
    box = page.locator("#result canvas").bounding_box()
    for across, down in ((0.21, 0.33), (0.55, 0.52), (0.83, 0.71), (0.4, 0.9)):
        page.locator("#point").evaluate("point => point.querySelector('.facts')?.classList.add('old')")
        page.locator("#result canvas").click(position={"x": across * box["width"], "y": down * box["height"]})
        expect(page.locator("#point .facts:not(.old)")).to_contain_text("alone says")
        line, facts = page.locator("#spot .now").text_content(), page.locator("#point").inner_text()
        lens = page.locator("[data-view=words] ~ figcaption").text_content()
        told = re.search(
            r"alone says (.+?) \((.+?)\s%\)(?:, by the word .+?)?; then (.+?) \((.+?)\s%\)", facts
        ).groups()
        for said in (line, lens):  # the lens shows only one class if it also shows the class of the region
            own = re.search(
                r"(?:alone|spot): (?!.*alone:)(.+?) (\S+)\s%(?:, next (.+?) ((?:< )?\S+)\s%)?\.$", said
            ).groups()
            assert own in (told, (*told[:2], None, None)), said


def test_beside_one_class_a_spot_is_compared_with_everything_else(open_page):
    page = open_page(1280)
    words, line = page.locator("#words textarea"), page.locator("#spot .now")
    expect_result_of(page, FIRST_WORDS)
    words.fill("dog")
    words.press("Enter")
    expect_result_of(page, "dog")
    for place in ({"x": 5, "y": 5}, {"x": 200, "y": 150}):
        page.locator("#result canvas").hover(position=place)
        expect(line).to_contain_text(re.compile(r"dog \d+\.\d\s%"))
        expect(line).to_contain_text(re.compile(r"everything else \d+\.\d\s%"))
    page.locator("#everything-else").get_by_text("everything else").click()
    expect(page.locator("#legend tbody tr")).to_have_count(1)
    page.locator("#result canvas").hover(position={"x": 9, "y": 9})
    expect(line).to_have_text("This spot: dog, the only class.")
    page.locator("#result canvas").click(position={"x": 9, "y": 9})
    expect(page.locator("#point .facts")).to_contain_text("dog at column")
    expect(page.locator("#point")).not_to_contain_text("alone says")


def test_a_row_of_the_legend_isolates_its_class_and_the_keys_ask_a_spot(open_page):
    page = open_page(1280)
    expect_result_of(page, FIRST_WORDS)
    chip = page.locator("#legend .chip").first
    chip.press("Enter")
    expect(chip).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#result .names span.off").first).to_be_attached()
    chip.press("Enter")
    expect(page.locator("#result .names span.off")).to_have_count(0)
    expect(page.locator("#lens .lens-tell")).to_contain_text("attention", timeout=PATIENCE)
    place = page.locator("#lens [data-view=picture] + figcaption")
    before = place.inner_text()
    page.locator("#result canvas").press("ArrowRight")
    expect(place).not_to_have_text(before)
    page.locator("#result canvas").press("Enter")
    expect(page.locator("#point")).to_contain_text("This patch alone says", timeout=PATIENCE)


def test_one_class_has_everything_else_beside_it_unless_the_person_has_chosen(open_page):
    page = open_page(1280)
    expect_result_of(page, FIRST_WORDS)
    words, box = page.locator("#words textarea"), page.locator("#everything-else input")
    for typed, on in (("dog", True), ("dog, grass", False), ("dog, puppy;", True), ("voc20", False), ("", False)):
        words.fill(typed)
        expect(box).to_be_checked(checked=on)
    words.fill("dog")
    expect(box).to_be_checked()
    box.uncheck()
    words.fill("cat")
    words.press("Enter")
    expect_result_of(page, "cat")
    expect(page.locator("#status")).to_contain_text("With one class, everything is that class.")
    expect(box).not_to_be_checked()


@pytest.mark.parametrize("way", ["drop", "paste"])
def test_a_picture_may_be_dropped_or_pasted_anywhere(open_page, picture, way):
    page = open_page(1280)
    expect_result_of(page, FIRST_WORDS)
    page.evaluate(
        """([way, code]) => {
            const carrier = new DataTransfer(), bytes = Uint8Array.from(atob(code), letter => letter.charCodeAt(0));
            carrier.items.add(new File([bytes], "mine.jpg", { type: "image/jpeg" }));
            const event = way === "drop" ? new DragEvent("drop", { dataTransfer: carrier, bubbles: true })
                : new ClipboardEvent("paste", { clipboardData: carrier, bubbles: true });
            document.querySelector("#legend").dispatchEvent(event);
        }""",
        [way, base64.b64encode(picture.read_bytes()).decode()],
    )
    expect(page.locator("#status")).to_contain_text("Your picture is here", timeout=PATIENCE)
    expect(page.locator("#result .stage.blank img")).to_be_visible()
    expect(page.locator("body")).not_to_have_class(re.compile("out-of-date"))
    page.locator("#words textarea").fill("dog; grass; sky")
    page.locator("#words textarea").press("Enter")
    expect_result_of(page, "dog; grass; sky")


def test_a_new_picture_takes_the_old_results_away(open_page, picture):
    page = open_page(1280)
    segment(page, picture)
    page.get_by_role("button", name="Remove Image").click()
    expect(page.locator("#result .names span")).to_have_count(0)
    expect(page.locator("#legend tbody tr")).to_have_count(0)


def test_hostile_words_and_files_get_a_message(open_page, picture):
    page = open_page(1280)
    segment(page, picture, "<img src=x onerror=alert(1)>; sky")
    expect(page.locator("#legend")).to_contain_text(re.compile("onerror|sky"))
    assert page.locator("#legend img").count() == 0
    page.locator("#words textarea").fill("cat | floor")
    page.locator("#segment").click()
    expect(page.locator("#status")).to_contain_text("background:", timeout=PATIENCE)


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


LONG = "a photo of a very long description of something that nobody would ever type into a box because it is long"


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
def test_a_long_name_ends_in_an_ellipsis_and_its_legend_has_two_lines(open_page, picture, artifacts, width, height):
    page = open_page(width, height)
    segment(page, picture, f"{LONG}; sky; everything else")
    stage = page.locator("#result .stage").bounding_box()
    name = page.locator("#result .names span:visible", has_text=LONG).first
    box = name.bounding_box()
    assert stage["x"] <= box["x"]
    assert box["x"] + box["width"] <= stage["x"] + stage["width"]
    assert name.evaluate("name => getComputedStyle(name).textOverflow") == "ellipsis"
    chip, line = page.locator("#legend .chip", has_text=LONG), "chip => chip.querySelector('bdi').clientHeight"
    other = page.locator("#legend .chip", has_text=re.compile("^ ?(everything else|sky)$")).first
    assert chip.evaluate(line) == pytest.approx(2 * other.evaluate(line), abs=2)
    assert chip.get_attribute("title") == LONG
    page.screenshot(path=artifacts / f"long_names_{width}.png")


def test_the_legend_of_one_class_and_everything_else_has_one_line_each(open_page, picture):
    page = open_page(1280, 800)
    segment(page, picture, "dog")
    lines = page.locator("#legend .chip bdi").evaluate_all("texts => texts.map(text => text.clientHeight)")
    assert len(lines) == 2
    assert lines[0] == lines[1]


def test_the_legend_sorts_by_its_heads(open_page, picture):
    page = open_page(1280)
    segment(page, picture)
    names = page.locator("#legend tbody th")
    before = names.all_inner_texts()
    page.locator("#legend button.sort", has_text="Class").press("Enter")
    expect(names.first).to_have_text(min(before))
    assert names.all_inner_texts() == sorted(before)


def test_opacity_and_style_repaint_in_the_browser(open_page, picture):
    page = open_page(1280)
    segment(page, picture)
    asked = []
    page.on("request", lambda request: asked.append(function_asked(request)))
    makers = page.evaluate("gradio_config.dependencies.filter(d => /segment/.test(d.api_name)).map(d => d.id)")
    painted = "document.querySelector('#result canvas').toDataURL()"
    seen = {page.evaluate(painted)}
    for style in ("outline", "hatch"):
        page.locator("#result").get_by_label(style).check()
        seen.add(page.evaluate(painted))
    page.locator("#result .opacity input").fill("0.2")
    seen.add(page.evaluate(painted))
    assert len(seen) == 4
    assert makers
    assert not set(makers) & set(asked), "nothing was made anew"


LATE_BOX = """(() => {
  const find = document.querySelector.bind(document), until = performance.now() + 3_000;
  document.querySelector = selector => selector === "#picture" && performance.now() < until ? null : find(selector);
})();"""


def test_the_result_appears_although_the_box_of_the_picture_comes_later(open_page):
    page = open_page(1280, 800)
    page.add_init_script(LATE_BOX)  # as on a busy computer, where components appear in any order
    page.reload()
    expect_result_of(page, FIRST_WORDS)
    expect(page.locator("#result .names span").first).to_be_visible()


def test_clicks_on_the_page_raise_no_error_before_its_tabs_were_opened(open_page):
    page = open_page(1280)
    expect_result_of(page, FIRST_WORDS)
    page.locator("#segment").click()
    page.locator("#legend .chip").first.click()
    expect(page.locator("#legend .chip").first).to_have_attribute("aria-pressed", "true")
