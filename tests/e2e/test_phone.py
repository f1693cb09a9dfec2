"""A phone in a real browser: fingers on pictures that slide, rotation, what is in sight together."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest

pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install -e '.[dev]'")
from playwright.sync_api import expect

from demo.settings import EXAMPLES
from tests.e2e import steps

pytestmark = pytest.mark.e2e

PHONE = {"has_touch": True, "is_mobile": True}
PATIENCE = 60_000
SCROLLED = "document.querySelector('.gradio-container').scrollTop"


@pytest.fixture
def phone(open_page):
    """Function that opens the page on a phone, and waits for the first result and its steps."""

    def open_at(width: int = 390, height: int = 844):
        page = open_page(width, height, **PHONE)
        steps.expect_result_of(page, steps.FIRST_WORDS)
        expect(page.locator("#lens .lens-tell")).to_contain_text("attention", timeout=PATIENCE)
        return page

    return open_at


def box_of(page, selector: str) -> dict[str, float]:
    return page.locator(selector).first.bounding_box()


def drag(page, start: tuple[float, float], by: tuple[float, float]) -> None:
    """Drag one finger."""
    browser, count = page.context.new_cdp_session(page), 8
    places = [{"x": start[0] + by[0] * i / count, "y": start[1] + by[1] * i / count} for i in range(count + 1)]
    browser.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": places[:1]})
    for place in places[1:]:
        browser.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [place]})
        page.wait_for_timeout(16)
    browser.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


@pytest.mark.parametrize("tab", ["Refine", "Compare"])
def test_a_finger_scrolls_over_two_pictures_and_drags_their_border_by_its_handle(phone, tab):
    page, name = phone(), tab.lower()
    page.get_by_role("tab", name=tab).tap()
    page.locator(f"#{name}-go").tap()
    expect(page.locator(f"#{name}-share")).to_contain_text("pixels", timeout=PATIENCE)
    slider, handle = page.locator(f"#{name}-slider"), page.locator(f"#{name}-slider [data-testid=slider]")
    slider.scroll_into_view_if_needed()
    expect(slider.locator("img").first).to_be_visible()
    page.wait_for_timeout(800)  # the page still scrolls to the tab
    box, before = slider.bounding_box(), page.evaluate(SCROLLED)
    border = handle.bounding_box()["x"]
    drag(page, (box["x"] + 60, box["y"] + box["height"] / 2), (0, -150))
    page.wait_for_function(f"{SCROLLED} > {before + 80}")
    assert handle.bounding_box()["x"] == pytest.approx(border, abs=1)
    box = handle.bounding_box()
    drag(page, (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2), (-80, 0))
    assert handle.bounding_box()["x"] == pytest.approx(border - 80, abs=15)


@pytest.mark.parametrize("place", ["#result .stage", "#lens .lens-panes", "#tabs .tab-wrapper"])
def test_a_phone_that_is_turned_shows_the_same_place(phone, place):
    page = phone()
    page.locator(place).evaluate("one => one.scrollIntoView()")
    page.wait_for_timeout(300)
    for size in ((844, 390), (390, 844)):
        page.set_viewport_size(dict(zip(("width", "height"), size, strict=True)))
        page.wait_for_timeout(500)
        box = box_of(page, place)
        assert box["y"] < size[1] / 2, size
        assert box["y"] + box["height"] > 0, size


def test_a_result_out_of_date_names_the_button_and_fields_do_not_enlarge_the_page(phone):
    page = phone()
    page.locator("#words textarea").fill("cup; table")
    said = page.locator("#status .strip").evaluate("one => getComputedStyle(one, '::after').content")
    assert "Press Segment." in said
    small = "all => all.filter(one => parseFloat(getComputedStyle(one).fontSize) < 16).map(one => one.outerHTML)"
    assert page.locator("textarea, select, input:not([type=file], [type=hidden])").evaluate_all(small) == []


TALL, WIDE = 2, 0
"""Numbers of examples."""
SIZES = [(390, 844), (360, 640)]


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_the_answer_to_a_tap_is_in_sight_of_a_tall_picture(phone, artifacts, width, height):
    page = phone(width, height)
    steps.open_example(page, TALL)
    page.wait_for_function("document.querySelector('#result').getBoundingClientRect().top < 2")
    page.wait_for_timeout(500)
    end, stage = box_of(page, "#ask")["y"], box_of(page, "#result .stage")
    assert stage["y"] >= 0
    assert stage["y"] + stage["height"] <= end
    page.touchscreen.tap(stage["x"] + stage["width"] / 2, stage["y"] + stage["height"] / 2)
    expect(page.locator("#point")).to_contain_text("This patch alone says", timeout=PATIENCE)
    page.screenshot(path=artifacts / f"phone_{width}_tall.png")
    spot, point = box_of(page, "#spot"), box_of(page, "#point")
    assert spot["y"] + spot["height"] <= end
    assert point["y"] + 20 <= end
    assert point["y"] + point["height"] - stage["y"] <= end, "all of it is in sight together with the picture"


def test_misspelt_words_are_told_in_sight_of_the_result(phone):
    page = phone()
    page.locator("#words textarea").fill("hrose; grass; skyy")
    page.locator("#segment").tap()
    button = page.get_by_role("button", name="Correct the spelling")
    expect(button).to_be_visible(timeout=PATIENCE)
    page.wait_for_function("document.querySelector('#result').getBoundingClientRect().top < 2")
    box = button.bounding_box()
    assert box["y"] + box["height"] <= box_of(page, "#ask")["y"]


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("example", [TALL, WIDE])
def test_a_pane_of_the_lens_and_its_controls_share_a_screen(phone, artifacts, width, height, example):
    page = phone(width, height)
    if example != WIDE:
        steps.open_example(page, example)
        page.wait_for_timeout(1500)
    page.locator("[data-do=next]").tap()
    expect(page.locator(".lens-which")).to_contain_text("2/5")
    page.locator("#lens .lens-turn").evaluate("one => one.scrollIntoView()")
    page.wait_for_timeout(600)
    page.screenshot(path=artifacts / f"phone_{width}_lens_{example}.png")
    end = box_of(page, "#ask")["y"]
    for part in ("[data-view=after]", ".lens-wipe input:visible", "#lens [data-do=deeper]"):
        box = box_of(page, part)
        assert box["y"] >= 0
        assert box["y"] + box["height"] <= end, part
    assert box_of(page, "#lens .lens-head")["y"] < box_of(page, "#lens .lens-numbers")["y"]
    assert page.locator("#lens .lens-head").evaluate("one => getComputedStyle(one).appearance") == "auto"
    meaning = "one => [one.title, getComputedStyle(one, '::after').content, one.offsetHeight > 20]"
    title, told, shown = page.locator("#lens figure:has([data-view=after]) .lens-title").evaluate(meaning)
    assert shown
    assert told in (f'"{title}"', "attr(title)")


@pytest.mark.parametrize("view", ["before", "after"])
def test_the_maps_of_the_lens_lie_over_the_photograph(phone, view):
    page = phone()
    image = page.locator(f"#lens [data-view={view}] > img")
    expect(image).to_be_visible()
    assert image.evaluate("one => one.naturalWidth") > 0
    heat = page.locator(f"#lens [data-view={view}] > .lens-map")
    assert float(heat.evaluate("one => getComputedStyle(one).opacity")) < 1
    page.get_by_role("button", name="Present").tap()
    if view == "after":
        page.locator("[data-go=on]").tap()
    expect(image).to_be_in_viewport(ratio=1)


def test_a_tap_in_the_lens_moves_nothing_where_the_browser_has_no_scroll_anchoring(phone):
    page = phone()
    page.add_style_tag(content="* { overflow-anchor: none !important; }")
    page.locator("#lens .lens-turn").evaluate("one => one.scrollIntoView()")
    page.wait_for_timeout(300)
    box = box_of(page, "[data-view=before]")
    page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(page.locator("#point")).to_contain_text("This patch alone says", timeout=PATIENCE)
    assert box_of(page, "[data-view=before]")["y"] == pytest.approx(box["y"], abs=2)


CUP = EXAMPLES / "coffee.jpg"


def test_words_of_the_last_picture_are_selected_and_suggestions_stay_until_others_are_used(phone, artifacts):
    page = phone()
    steps.upload(page, CUP)
    suggested, words = page.locator("#suggested .strip"), page.locator("#words textarea")
    expect(suggested).to_be_visible(timeout=PATIENCE)
    page.locator("#segment").tap()
    steps.expect_result_of(page, steps.FIRST_WORDS)
    page.wait_for_timeout(1000)
    expect(suggested).to_be_visible()
    page.screenshot(path=artifacts / "phone_390_old_words.png")
    words.tap()
    page.wait_for_function("document.activeElement.selectionEnd - document.activeElement.selectionStart > 9")
    page.keyboard.type("cup; table")
    expect(words).to_have_value("cup; table")
    expect(suggested).to_be_hidden()
    page.keyboard.press("Enter")
    steps.expect_result_of(page, "cup; table")
    expect(words).not_to_be_focused()
    expect(suggested).to_be_hidden()


def test_suggestions_do_not_outlive_their_picture(phone):
    page = phone()
    steps.upload(page, CUP)
    button = page.get_by_role("button", name="Use these words")
    expect(button).to_be_visible(timeout=PATIENCE)
    page.locator("#segment").tap()
    steps.expect_result_of(page, steps.FIRST_WORDS)
    expect(button).to_be_visible(timeout=PATIENCE)
    button.tap()
    steps.expect_result_of(page, page.locator("#words textarea").input_value())
    expect(page.locator("#words textarea")).not_to_be_focused()
    expect(page.locator("#suggested")).to_be_hidden()
    steps.upload(page, CUP)
    expect(button).to_be_visible(timeout=PATIENCE)
    page.locator("#examples button").nth(WIDE).tap()
    steps.expect_result_of(page, steps.FIRST_WORDS)
    page.wait_for_timeout(500)
    expect(page.locator("#suggested")).to_be_hidden()


def test_a_tapped_tile_of_compare_shows_its_comparison(phone):
    page = phone()
    page.get_by_role("tab", name="Compare").tap()
    page.locator("#compare-go").tap()
    expect(page.locator("#compare-share")).to_contain_text("pixels", timeout=PATIENCE)
    tiles = page.locator("#compare-gallery .thumbnail-item")
    tiles.nth(2).tap()
    expect(page.locator("#compare-slider")).to_be_in_viewport(timeout=PATIENCE)
    expect(page.locator("#compare-before")).to_be_in_viewport()


def test_attention_has_its_maps_below_the_picker_and_full_screen_is_no_wider_than_the_screen(phone):
    page = phone()
    page.get_by_role("tab", name="Attention").tap()
    expect(page.locator("#affinity img")).to_be_visible(timeout=PATIENCE)
    page.wait_for_timeout(1000)
    boxes = [box_of(page, f"#{name} img") for name in ("patches", "before", "after", "difference", "affinity")]
    assert all(box["y"] > above["y"] for above, box in pairwise(boxes))
    assert boxes[1]["y"] - boxes[0]["y"] < 400
    assert min(box["width"] for box in boxes[1:]) > 360
    assert box_of(page, "#layer")["y"] > boxes[-1]["y"]
    for below in ("#patch-facts", "#show", "#arrows", "#subject", "#scale"):
        assert box_of(page, below)["y"] > box_of(page, "#layer")["y"], below
    page.locator("#before").get_by_role("button", name="Fullscreen").tap()
    expect(page.locator("#before").get_by_role("button", name="Exit fullscreen mode")).to_be_visible()
    page.wait_for_timeout(500)
    assert box_of(page, "#before")["width"] <= 390
    steps.expect_no_sideways_scroll(page)


def test_clusters_tell_a_region_right_below_maps_of_full_width(phone):
    page = phone()
    steps.open_example(page, TALL)
    page.get_by_role("tab", name="Clusters").tap()
    expect(page.locator("#regions-after img")).to_be_visible(timeout=PATIENCE)
    before, after = (page.locator(f"#regions-{name}") for name in ("before", "after"))
    assert after.bounding_box()["y"] >= before.bounding_box()["y"] + before.bounding_box()["height"]
    assert after.bounding_box()["width"] > 360
    after.scroll_into_view_if_needed()
    page.wait_for_timeout(800)
    facts, grid = page.locator("#region-facts"), steps.grid_of(page)
    box = after.locator("img").bounding_box()
    wide, high = after.locator("img").evaluate("one => [one.naturalWidth, one.naturalHeight]")
    scale = min(box["width"] / wide, box["height"] / high)
    row, column = 2, grid[1] - 2
    left = box["x"] + box["width"] / 2 + ((column + 0.5) / grid[1] - 0.5) * wide * scale
    page.touchscreen.tap(left, box["y"] + box["height"] / 2 + ((row + 0.5) / grid[0] - 0.5) * high * scale)
    expect(facts).to_contain_text(f"Patch row {row}, column {column}", timeout=PATIENCE)
    assert facts.bounding_box()["y"] - after.bounding_box()["y"] - after.bounding_box()["height"] < 40


@pytest.mark.parametrize("tab", ["Settings", "Attention", "Batch", "Guided tour"])
def test_what_is_touched_on_a_turned_phone_is_large_enough(phone, tab):
    page = phone(844, 390)
    page.locator("#tabs").get_by_role("tab", name=tab, exact=True).tap()
    page.wait_for_timeout(500)
    assert page.evaluate(steps.TOO_SMALL) == []
    steps.expect_no_sideways_scroll(page)


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_undo_stays_on_the_screen_while_the_result_is_fixed(phone, artifacts, width, height):
    page = phone(width, height)
    steps.open_example(page, TALL)
    page.locator("#result .open-bench").tap()
    page.wait_for_timeout(800)
    expect(page.locator("#result .how")).to_contain_text("Tap an object")
    for name in ("Zoom in", "Zoom out"):
        box = page.get_by_label(name, exact=True).bounding_box()
        assert min(box["width"], box["height"]) >= 40
    undo = page.locator("#result [data-do=undo]")
    for scroll in (
        "#result .drawn",
        "#page-head",
    ):  # the result at the top of the screen, and the page from its beginning
        page.locator(scroll).evaluate("one => one.scrollIntoView({ behavior: 'instant' })")
        page.wait_for_timeout(200)
        expect(undo).to_be_in_viewport(ratio=1)
    page.screenshot(path=artifacts / f"phone_{width}_fix.png")


def test_small_letters_and_rows_are_large_enough_for_a_phone(phone):
    page = phone(360, 640)
    size = "all => Math.min(...all.map(one => parseFloat(getComputedStyle(one).fontSize)))"
    assert page.locator("#upload span, #examples span").evaluate_all(size) >= 12
    assert box_of(page, "#result .opacity input")["width"] >= 44
    page.get_by_role("tab", name="Refine").tap()
    page.locator("#refine-go").tap()
    label = page.locator("#refine-components label").first
    expect(label).to_be_visible(timeout=PATIENCE)
    assert label.bounding_box()["height"] >= 44


def test_back_closes_what_covers_the_page_and_only_then_leads_to_the_result_before(phone):
    page = phone()
    steps.ask(page, "horse; sky")
    page.get_by_role("button", name="Present").tap()
    expect(page.locator("dialog[open]")).to_be_visible()
    page.go_back()
    expect(page.locator("dialog[open]")).to_have_count(0)
    expect(page.locator("#words textarea, #words input").first).to_have_value("horse; sky")
    page.get_by_role("tab", name="Guided tour").tap()
    page.locator("#tour-left button[aria-label*=ullscreen]").tap()
    expect(page.locator(".fullscreen")).not_to_have_count(0)
    page.go_back()
    expect(page.locator(".fullscreen")).to_have_count(0)
    expect(page.get_by_role("tab", name="Guided tour")).to_have_attribute("aria-selected", "true")
    page.go_back()
    steps.expect_result_of(page, steps.FIRST_WORDS)


def test_names_from_right_to_left_keep_their_numbers(phone):
    page = phone()
    steps.ask(page, "\u05e1\u05d5\u05e1; \u05e9\u05de\u05d9\u05d9\u05dd")
    said = page.locator("#spot .now")
    expect(said).to_contain_text(re.compile("This spot: \u2068[\u0590-\u05ff]+\u2069 [<\\d.\u00a0 ]+%, next \u2068"))
    expect(page.locator("#status")).to_contain_text(re.compile("\u2068[\u0590-\u05ff]+\u2069 \\d+\u00a0%"))


def test_a_long_word_does_not_widen_the_page(phone):
    page = phone()
    steps.ask(page, f"{'Donaudampfschiff' * 4}; sky")
    steps.expect_no_sideways_scroll(page)
    assert page.locator("#segment").bounding_box()["y"] < 844
