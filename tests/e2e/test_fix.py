"""Coarse and refined results, and fixes by hand, in a real browser: mouse, finger, keys, downloads."""

from __future__ import annotations

import json
import re
import zipfile

import numpy as np
import pytest

pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install -e '.[dev]'")
from playwright.sync_api import expect

from demo.settings import EXAMPLES
from tests.e2e import steps

pytestmark = pytest.mark.e2e

KITTEN = EXAMPLES / "kitten.jpg"
CHOOSE = "radio => { radio.checked = true; radio.dispatchEvent(new Event('input', { bubbles: true })); }"
STROKE = [(0.1, 0.85), (0.2, 0.9), (0.3, 0.85)]


def open_bench(page) -> None:
    steps.open_example(page, 1)
    page.locator("#result .open-bench").click()
    expect(page.locator("#result .bench")).to_be_visible()


def tool(page, name: str) -> None:
    page.locator(f"#result [name=tool][value={name}]").check()


def at(page, x: float, y: float) -> tuple[float, float]:
    box = page.locator("#result canvas").bounding_box()
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def expect_fixes(page, count: int) -> None:
    text = "Coarse:" if not count else f"Coarse, {count} fix{'es' if count > 1 else ''}:"
    expect(page.locator("#status")).to_contain_text(text)
    expect(page.locator("#result .stage")).not_to_have_class("stage waiting")


def draw_by_finger(page, points) -> None:
    """Draw with the events of a touch screen, which a mouse does not send."""
    browser = page.context.new_cdp_session(page)
    places = [dict(zip("xy", at(page, *point), strict=True)) for point in points]
    browser.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": places[:1]})
    for place in places[1:]:
        browser.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [place]})
    browser.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def draw_by_mouse(page, points) -> None:
    page.mouse.move(*at(page, *points[0]))
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*at(page, *point), steps=6)
    page.mouse.up()


def paint(page, draw, name: str = "") -> str:
    """Draw a brush stroke in the named class, else in the second of the list. Return the class name."""
    tool(page, "brush")
    classes = page.locator("#result .bench select")
    name = name or classes.locator("option").nth(1).inner_text()
    classes.select_option(name)
    draw(page, STROKE)
    return name


def downloaded(page, choice: str) -> tuple[str, zipfile.ZipFile]:
    page.locator("#formats input").click()
    page.get_by_role("option", name=choice, exact=True).click()
    with page.expect_download() as download:
        page.locator("#download").click()
    return download.value.suggested_filename, zipfile.ZipFile(download.value.path())


def not_near_the_stroke(nano, words: str) -> str:
    """Return the class with the fewest pixels near the stroke, so that the stroke is a component of its own."""
    found = nano.segment(nano.encode(KITTEN), words)
    height, width = found.labels.shape
    near = found.labels[int(0.78 * height) : int(0.97 * height), int(0.03 * width) : int(0.37 * width)]
    return found.class_names[int(np.bincount(near.ravel(), minlength=len(found.class_names)).argmin())]


@pytest.mark.parametrize("touch", [False, True], ids=["1280 mouse", "375 finger"])
def test_an_exclude_click_a_stroke_and_an_undo_reach_the_coco_file(open_page, artifacts, nano, touch):
    page = open_page(375, 812, has_touch=True) if touch else open_page(1280, 800)
    open_bench(page)
    click = page.touchscreen.tap if touch else page.mouse.click
    draw = draw_by_finger if touch else draw_by_mouse
    tool(page, "exclude")
    click(*at(page, 0.5, 0.5))
    expect_fixes(page, 1)
    expect(page.locator("#result .said")).to_contain_text("of the picture")
    name = paint(page, draw, not_near_the_stroke(nano, page.locator("#words textarea").input_value()))
    expect_fixes(page, 2)
    expect(page.locator("#result .said")).to_contain_text(f"became {name}")
    page.screenshot(path=artifacts / f"fix_{'375' if touch else '1280'}.png")
    draw(page, [(0.7, 0.85), (0.9, 0.85)])
    expect_fixes(page, 3)
    page.locator("#result [data-do=undo]").click()
    expect_fixes(page, 2)
    expect(page.locator("#result [data-do=redo]")).to_be_enabled()
    steps.expect_no_sideways_scroll(page)
    for control in (
        page.locator("#result .bench button, #result .bench label, #result .open-bench").all() if touch else ()
    ):
        assert control.bounding_box()["height"] >= 44
    page.locator("#result .open-bench").click()
    expect(page.locator("#result .bench")).to_be_hidden()

    file, archive = downloaded(page, "COCO annotations")
    assert file == "kitten-fixed.zip"
    coco = json.loads(archive.read("coco/annotations.json"))
    painted = next(entry["id"] for entry in coco["categories"] if entry["name"] == name)
    image = coco["images"][0]
    middles = [
        ((left + width / 2) / image["width"], (top + height / 2) / image["height"])
        for left, top, width, height in (e["bbox"] for e in coco["annotations"] if e["category_id"] == painted)
    ]
    assert any(abs(x - 0.2) < 0.05 and abs(y - 0.87) < 0.06 for x, y in middles), "the stroke"
    assert not any(abs(x - 0.8) < 0.05 and abs(y - 0.85) < 0.03 for x, y in middles), "what was taken back"
    record = json.loads(archive.read("kitten-fixed.json"))
    assert [(fix["tool"], fix["class"]) for fix in record["settings"]["fixes"]] == [("click", None), ("brush", name)]
    assert page.strangers == []


def test_a_drag_is_a_box_and_a_trembling_click_is_a_click(open_page, artifacts):
    page = open_page(1280, 800)
    open_bench(page)
    tool(page, "include")
    page.locator("#result .bench select").select_option("ball of yarn")
    draw_by_mouse(page, [(0.3, 0.3), (0.6, 0.31)])  # flat
    draw_by_mouse(page, [(0.5, 0.45), (0.9, 0.9), (0.85, 0.8), (0.75, 0.75)])
    expect_fixes(page, 1)
    expect(page.locator("#result .said")).to_contain_text("became ball of yarn")
    page.screenshot(path=artifacts / "fix_box.png")
    x, y = at(page, 0.55, 0.6)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 3, y - 3)
    page.mouse.up()
    expect_fixes(page, 2)
    tool(page, "exclude")
    draw_by_mouse(page, [(0.75, 0.75), (0.5, 0.45)])
    expect_fixes(page, 3)
    page.locator("#result .open-bench").click()
    _, archive = downloaded(page, "Labels, overlay, JSON, npz")
    fixes = json.loads(archive.read("kitten-fixed.json"))["settings"]["fixes"]
    assert [(one["tool"], len(one["points"])) for one in fixes] == [("box", 2), ("click", 1), ("box", 2)]
    assert fixes[0]["points"] == [pytest.approx([0.5, 0.45], abs=0.01), pytest.approx([0.75, 0.75], abs=0.01)]
    assert fixes[2]["from"]
    assert page.strangers == []


def test_a_drag_keeps_its_tool_and_escape_takes_back_a_click(open_page):
    page = open_page(1280, 800)
    open_bench(page)
    tool(page, "include")
    classes = page.locator("#result .bench select")
    classes.select_option("ball of yarn")
    page.mouse.move(*at(page, 0.5, 0.45))
    page.mouse.down()
    page.keyboard.press("Escape")
    page.mouse.up()
    page.mouse.down()
    page.mouse.move(*at(page, 0.75, 0.75), steps=6)
    page.locator("#result [name=tool][value=brush]").evaluate(CHOOSE)  # as a key does
    classes.select_option("cloth")
    page.mouse.up()
    expect_fixes(page, 1)
    page.locator("#result .open-bench").click()
    _, archive = downloaded(page, "Labels, overlay, JSON, npz")
    [one] = json.loads(archive.read("kitten-fixed.json"))["settings"]["fixes"]
    assert (one["tool"], one["class"]) == ("box", "ball of yarn")


def test_a_page_with_fixes_asks_before_it_is_left(open_page):
    page = open_page(1280, 800)
    open_bench(page)
    asked = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    paint(page, draw_by_mouse)
    expect_fixes(page, 1)
    page.locator("#result .open-bench").click()
    downloaded(page, "COCO annotations")
    page.reload()
    assert asked == []  # they are in the download
    open_bench(page)
    paint(page, draw_by_mouse)
    expect_fixes(page, 1)
    page.reload()
    assert asked == ["beforeunload"]


def test_fixes_outlast_a_second_segment_another_word_and_a_setting(open_page, artifacts):
    page = open_page(1280, 800)
    open_bench(page)
    words = page.locator("#words textarea").input_value()
    name = paint(page, draw_by_mouse)
    expect_fixes(page, 1)
    page.locator("#result .open-bench").click()

    page.locator("#segment").click()
    expect(page.locator("#status")).to_contain_text("Done:")
    expect_fixes(page, 1)
    page.locator("#words textarea").fill(f"zebra, {words}" if ";" not in words else f"zebra; {words}")
    page.locator("#words textarea").press("Enter")
    steps.expect_result_of(page, page.locator("#words textarea").input_value())
    expect_fixes(page, 1)
    page.locator("#legend table").evaluate("table => table.classList.add('former')")
    page.get_by_label("Image prior").check()
    expect(page.locator("#legend table:not(.former)")).to_be_visible()
    expect_fixes(page, 1)
    page.locator("#words textarea").fill(",")
    page.locator("#segment").click()
    expect(page.locator("#status")).to_contain_text("Type at least one class")
    page.locator("#result .open-bench").click()
    page.locator("#result [data-do=undo]").click()
    expect_fixes(page, 0)
    page.locator("#result [data-do=redo]").click()
    expect_fixes(page, 1)
    page.locator("#words textarea").fill("zebra; mountain")
    page.locator("#words textarea").press("Enter")
    expect(page.locator("#status")).to_contain_text(f"1 fix of '{name}' is kept but not applied: it is no class now.")
    page.screenshot(path=artifacts / "fix_1280_aside.png")


def test_coarse_and_refined_are_one_switch_of_the_result_and_its_download(open_page):
    page = open_page(1280, 800)
    steps.open_example(page, 1)
    legend = page.locator("#legend .legend").inner_text()
    page.locator("#result [value=refined]").check()
    expect(page.locator("#status")).to_contain_text("Refined by sam-nano+edges:")
    expect(page.locator("#legend .legend")).not_to_have_text(legend)
    file, archive = downloaded(page, "Overlay")
    assert file == "kitten-refined.zip"
    assert "kitten-refined.overlay.png" in archive.namelist()
    page.locator("#result [value=coarse]").check()
    expect(page.locator("#status")).to_contain_text("Coarse:")
    page.locator("#result [value=refined]").check()
    expect(page.locator("#status")).to_contain_text("Refined")
    words = "zebra; mountain"
    page.locator("#words textarea").fill(words)
    page.locator("#segment").click()
    steps.expect_result_of(page, words)
    expect(page.locator("#status")).to_contain_text("Refined by sam-nano+edges:")
    expect(page.locator("#result [value=refined]")).to_be_checked()
    steps.open_example(page, 2)
    expect(page.locator("#status")).to_contain_text("Done:")
    expect(page.locator("#result [value=coarse]")).to_be_checked()


def test_the_keyboard_fixes_takes_back_and_leaves(open_page):
    page = open_page(1280, 800)
    open_bench(page)
    tool(page, "brush")
    page.locator("#result .bench select").select_option(index=1)
    canvas = page.locator("#result canvas")
    canvas.press("ArrowDown")
    canvas.press("Enter")
    expect_fixes(page, 1)
    canvas.press("Control+z")
    expect_fixes(page, 0)
    canvas.press("Control+Shift+z")
    expect_fixes(page, 1)
    page.locator("#legend .chip").first.press("Control+z")
    expect_fixes(page, 0)
    canvas.press("Control+y")
    expect_fixes(page, 1)
    canvas.blur()
    page.keyboard.press("Control+z")  # the focus is nowhere
    expect_fixes(page, 0)
    page.keyboard.press("Control+y")
    expect_fixes(page, 1)
    words = page.locator("#words textarea")
    typed = words.input_value()
    words.press_sequentially("x")
    words.press("Control+z")  # of the field, not of the picture
    expect(words).to_have_value(typed)
    expect_fixes(page, 1)
    size, classes = page.locator("#result [name=size]"), page.locator("#result .bench select")
    before = int(size.input_value())
    canvas.press("]")
    canvas.press("]")
    canvas.press("[")
    expect(size).to_have_value(str(before + 5))
    canvas.press("1")
    expect(classes).to_have_value(classes.locator("option").first.inner_text())
    canvas.press("3")
    expect(classes).to_have_value(classes.locator("option").nth(2).inner_text())
    canvas.press("9")  # there are three
    expect(classes).to_have_value(classes.locator("option").nth(2).inner_text())
    canvas.press("Escape")
    expect(page.locator("#result .bench")).to_be_hidden()
    expect(page.locator("#point")).to_be_empty()
    canvas.press("Enter")  # with the tools closed, Enter explains the point again
    expect(page.locator("#point")).not_to_be_empty()


def test_many_fast_clicks_are_all_done_and_what_fails_is_said(open_page):
    page = open_page(1280, 800)
    open_bench(page)
    tool(page, "brush")
    for share in (0.1, 0.3, 0.5, 0.7, 0.9):
        page.mouse.click(*at(page, share, 0.1))
    expect_fixes(page, 5)
    page.evaluate("document.querySelector('#result .bench select').replaceChildren(new Option('unicorn'))")
    page.mouse.click(*at(page, 0.5, 0.5))
    expect(page.locator("#status")).to_contain_text("Not possible. class: expected one of")
    page.locator("#result [data-do=undo]").click()
    expect_fixes(page, 4)


def test_one_undo_returns_all_that_was_removed_at_once(open_page):
    page = open_page(1280, 800)
    open_bench(page)
    undo, redo = page.locator("#result [data-do=undo]"), page.locator("#result [data-do=redo]")
    paint(page, draw_by_mouse)
    draw_by_mouse(page, [(0.7, 0.1), (0.9, 0.1)])
    expect_fixes(page, 2)
    page.locator("#result [data-do=clear]").click()
    expect_fixes(page, 0)
    expect(redo).to_be_disabled()
    undo.click()
    expect_fixes(page, 2)
    redo.click()
    expect_fixes(page, 0)
    page.locator("#result canvas").press("Control+z")
    expect_fixes(page, 2)


CLICK_AT_ONCE = """document.addEventListener("lab:result", () => setTimeout(() => {
  const canvas = document.querySelector("#result canvas"), box = canvas.getBoundingClientRect();
  const place = { clientX: box.x + 0.55 * box.width, clientY: box.y + 0.45 * box.height };
  window.crossThen = (canvas.dispatchEvent(new MouseEvent("click", { ...place, bubbles: true })),
    document.querySelector("#result .cross").style.cssText);
}), { once: true })"""


def test_a_patch_that_is_chosen_before_its_steps_have_arrived_stays_chosen(open_page):
    page = open_page(1280, 800)
    steps.expect_result_of(page, steps.FIRST_WORDS)
    expect(page.locator(".lens")).to_have_attribute("data-shown", re.compile("."), timeout=steps.PATIENCE)
    before = page.locator(".lens").get_attribute("data-shown")
    page.evaluate(CLICK_AT_ONCE)
    steps.open_example(page, 1)
    expect(page.locator(".lens")).not_to_have_attribute("data-shown", before, timeout=steps.PATIENCE)
    assert page.locator("#result .cross").evaluate("cross => cross.style.cssText") == page.evaluate("crossThen")
    assert "patch=6,10" in page.url.replace("%2C", ",")


def test_after_fixing_the_headline_speaks_of_the_marked_patch(open_page):
    page = open_page(1280, 800)
    steps.open_example(page, 1)
    now, away = page.locator("#spot .now"), page.locator("#words textarea")
    page.mouse.click(*at(page, 0.55, 0.45))
    marked = page.locator("#result .cross").get_attribute("style")
    away.hover()
    before = now.inner_text()
    page.locator("#result .open-bench").click()
    paint(page, draw_by_mouse)
    expect_fixes(page, 1)
    expect(now).not_to_have_text(before)  # the pointer rests on the stroke
    page.locator("#result .open-bench").click()
    away.hover()
    expect(now).to_have_text(before)
    assert page.locator("#result .cross").get_attribute("style") == marked
    expect(page.locator("[data-number='spot.class']")).to_have_text(before.removeprefix("This spot: ").rstrip("."))
    page.locator("#result .open-bench").click()  # what covers the marked patch is in the headline at once
    tool(page, "brush")
    name = page.locator("#result .bench select option").nth(1).inner_text()
    if name in before.split(",")[0]:
        name = page.locator("#result .bench select option").nth(0).inner_text()
    page.locator("#result .bench select").select_option(name)
    away.hover()
    page.locator("#result canvas").press("Enter")
    expect_fixes(page, 2)
    expect(now).to_contain_text(f"This spot: {name}")
    page.locator("#result [data-do=undo]").click()
    expect(now).to_have_text(before)


def two_fixes(page) -> str:
    """Draw two strokes; return the status line."""
    page.locator("#result .open-bench").click()
    paint(page, draw_by_mouse)
    draw_by_mouse(page, [(0.7, 0.1), (0.9, 0.1)])
    expect_fixes(page, 2)
    page.locator("#result .open-bench").click()
    return page.locator("#status").inner_text()


def test_fixes_return_after_a_reload_and_when_back_leads_to_their_result(open_page):
    page = open_page(1280, 800)
    page.on("dialog", lambda dialog: dialog.accept())
    steps.open_example(page, 1)
    words = page.locator("#words textarea").input_value()
    said = two_fixes(page)
    page.reload()
    expect(page.locator("#status")).to_have_text(said)
    steps.expect_result_of(page, words)
    page.reload()  # a page that was only restored has them too
    expect(page.locator("#status")).to_have_text(said)
    steps.open_example(page, 2)
    expect(page.locator("#status")).to_contain_text("Done:")
    page.go_back()
    expect(page.locator("#status")).to_have_text(said)
    steps.expect_result_of(page, words)
    page.get_by_role("tab", name="Guided tour").click()
    page.locator("#tour-take").click()
    expect(page.locator("#status")).to_contain_text("Done:")
    page.go_back()
    expect(page.locator("#status")).to_have_text(said)
    page.locator("#result .open-bench").click()
    page.locator("#result [data-do=clear]").click()
    expect_fixes(page, 0)
    page.reload()
    steps.expect_result_of(page, words)
    expect(page.locator("#status")).to_contain_text("Done:")


def test_each_result_of_the_history_has_its_own_fixes_and_back_asks_nothing(open_page, tmp_path):
    page = open_page(1280, 800)
    asked = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    mine = tmp_path / "mine.jpg"
    mine.write_bytes(KITTEN.read_bytes() + b"mine")
    steps.segment(page, mine, "cat; cloth; wool")
    two_fixes(page)
    written = "words => history.state?.kept?.words === words && location.search.includes('own=')"
    page.wait_for_function(written, arg="cat; cloth; wool")
    page.locator("#words textarea").fill("cat; cloth; sofa; wool")
    page.locator("#segment").click()
    steps.expect_result_of(page, "cat; cloth; sofa; wool")
    expect_fixes(page, 2)
    page.wait_for_function(written, arg="cat; cloth; sofa; wool")  # the page writes its history after the result
    page.locator("#result .open-bench").click()
    page.locator("#result [data-do=undo]").click()
    expect_fixes(page, 1)
    page.go_back()
    steps.expect_result_of(page, "cat; cloth; wool")
    expect_fixes(page, 2)
    page.go_forward()
    steps.expect_result_of(page, "cat; cloth; sofa; wool")
    expect_fixes(page, 1)
    assert asked == []
    steps.upload(page, EXAMPLES / "cows.jpg")  # another picture, then the first again: without the history
    expect(page.locator("#status")).to_contain_text("Your picture is here")
    steps.segment(page, mine, "cat; cloth; sofa; wool")
    expect_fixes(page, 1)
    delete = page.locator("#delete-mine")
    delete.focus()
    for _ in range(3):  # held down
        page.keyboard.down("Enter")
    page.keyboard.up("Enter")
    expect(delete).to_have_text("Not downloaded: press again")
    expect(page.locator("#status")).to_contain_text("1 fix")
    expect(page.locator("#status")).to_contain_text("1 fix")
    delete.click()  # its fixes go with a picture that is deleted
    expect(page.locator("#status")).to_contain_text("No picture")
    steps.segment(page, mine, "cat; cloth; sofa; wool")
    expect(page.locator("#status")).to_contain_text("Done:")
    page.reload()
    expect(page.locator("#status")).to_contain_text("Done:")
