"""Zoom while fixing, in a real browser: wheel, drag, keys, two fingers; strokes land where they are drawn."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install -e '.[dev]'")
from playwright.sync_api import expect

from tests.e2e.test_fix import at, downloaded, draw_by_finger, draw_by_mouse, expect_fixes, open_bench, tool

pytestmark = pytest.mark.e2e

SHOWN = """() => {
  const view = document.querySelector('#result canvas').getBoundingClientRect();
  const stage = document.querySelector('#result .stage').getBoundingClientRect();
  return [stage.width / view.width, (stage.left - view.left) / view.width, (stage.top - view.top) / view.height];
}"""


def shown(page) -> tuple[float, float, float]:
    """Return the part of the picture in view: its width, and its first point, as shares of the picture."""
    return tuple(page.evaluate(SHOWN))


def much(page) -> str:
    return page.locator("#result .zoom output").inner_text().replace("\u00a0", " ")


def points_of(page) -> list[list[list[float]]]:
    """Return the points of each fix, as the download has them."""
    _, archive = downloaded(page, "Labels, overlay, JSON, npz")
    record = json.loads(archive.read("kitten-fixed.json"))
    return [fix["points"] for fix in record["settings"]["fixes"]]


def test_the_wheel_zooms_at_the_pointer_and_strokes_land_where_they_are_drawn(open_page, artifacts):
    page = open_page(1280, 800)
    open_bench(page)
    place = at(page, 0.25, 0.75)
    page.mouse.move(*place)
    for _ in range(3):
        page.mouse.wheel(0, -250)
    expect(page.locator("#result .zoom output")).to_contain_text("448")
    assert at(page, 0.25, 0.75) == pytest.approx(place, abs=4.5), "a pointer has whole pixels"
    tool(page, "brush")
    drawn = [(0.2, 0.72), (0.25, 0.75), (0.28, 0.8)]
    draw_by_mouse(page, drawn)
    expect_fixes(page, 1)
    page.screenshot(path=artifacts / "zoom_1280.png")
    page.mouse.move(*at(page, 0.25, 0.75))
    box, ring = page.locator("#result canvas").bounding_box(), page.locator("#result .ring").bounding_box()
    assert ring["width"] == pytest.approx(2 * 0.02 * max(box["width"], box["height"]), abs=4)
    page.locator("#result .open-bench").click()
    assert shown(page) == pytest.approx((1, 0, 0), abs=1e-3)
    [stroke] = points_of(page)
    assert [stroke[0], stroke[-1]] == [pytest.approx(drawn[0], abs=0.004), pytest.approx(drawn[-1], abs=0.004)]


def test_a_drag_with_shift_moves_the_picture_and_paints_nothing(open_page):
    page = open_page(1280, 800)
    open_bench(page)
    for _ in range(4):
        page.get_by_label("Zoom in").click()
    assert much(page) == "506 %"
    before = shown(page)
    box = page.locator("#result .stage").bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    for chosen, held, button in (("brush", "Shift", "left"), ("include", "Shift", "left"), ("brush", None, "middle")):
        tool(page, chosen)
        if held:
            page.keyboard.down(held)
        page.mouse.move(*middle)
        page.mouse.down(button=button)
        page.mouse.move(middle[0] + 60, middle[1] + 30, steps=5)
        page.mouse.up(button=button)
        if held:
            page.keyboard.up(held)
        after = shown(page)
        assert after[1] < before[1] - 0.01, chosen
        assert after[2] < before[2] - 0.01, chosen
        before = after
    page.wait_for_timeout(300)
    expect(page.locator("#result [data-do=undo]")).to_be_disabled()
    expect(page.locator("#status")).to_contain_text("Done:")
    page.mouse.move(*middle)
    page.mouse.wheel(0, 5000)
    assert shown(page) == pytest.approx((1, 0, 0), abs=1e-3)


def test_keys_zoom_and_the_marked_patch_stays_in_view(open_page):
    page = open_page(1280, 800)
    open_bench(page)
    page.locator("#result canvas").focus()
    for _ in range(5):
        page.keyboard.press("+")
    assert much(page) == "759 %"
    for _ in range(30):
        page.keyboard.press("ArrowRight")
    stage, cross = (page.locator(f"#result {one}").bounding_box() for one in (".stage", ".cross"))
    assert stage["x"] - 1 <= cross["x"] <= stage["x"] + stage["width"] - cross["width"] + 1
    page.keyboard.press("-")
    assert much(page) == "506 %"
    page.keyboard.press("0")
    assert much(page) == "100 %"


def pinch(page, start, end) -> None:
    """Move two fingers; `start` and `end` are two points each, as shares of the canvas before."""
    browser = page.context.new_cdp_session(page)
    first, last = ([at(page, *point) for point in places] for places in (start, end))

    def send(kind: str, places) -> None:
        points = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(places)]
        browser.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    send("touchStart", first[:1])
    send("touchStart", first)
    for share in (0.25, 0.5, 0.75, 1):
        moved = [
            [a + share * (b - a) for a, b in zip(one, two, strict=True)] for one, two in zip(first, last, strict=True)
        ]
        send("touchMove", moved)
    send("touchEnd", [])


def test_two_fingers_zoom_and_one_draws(open_page, artifacts):
    page = open_page(375, 812, has_touch=True)
    open_bench(page)
    tool(page, "brush")
    pinch(page, [(0.45, 0.5), (0.55, 0.5)], [(0.2, 0.5), (0.8, 0.5)])
    width, left, top = shown(page)
    assert width == pytest.approx(1 / 6, abs=0.04)
    assert left + width / 2 == pytest.approx(0.5, abs=0.05)
    page.wait_for_timeout(300)
    expect(page.locator("#result [data-do=undo]")).to_be_disabled()
    drawn = [(left + 0.3 * width, top + 0.05), (left + 0.6 * width, top + 0.06)]
    draw_by_finger(page, drawn)
    expect_fixes(page, 1)
    page.screenshot(path=artifacts / "zoom_375.png")
    tool(page, "include")
    draw_by_finger(page, [(left + 0.3 * width, top + 0.05), (left + 0.7 * width, top + 0.05)])
    assert shown(page)[1] < left - 0.01, "one finger moves the picture where no tool draws"
    expect_fixes(page, 1)
    [stroke] = points_of(page)
    assert stroke[0] == pytest.approx(drawn[0], abs=0.01)


FRAMES = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


def fingers(page, *steps) -> list[tuple[float, float, float]]:
    """Put fingers on the picture, move and lift them; each step has their places, by number. Return what is shown."""
    browser = page.context.new_cdp_session(page)
    on: dict[int, tuple[float, float]] = {}
    seen = []
    for step in steps:
        lifted = {number: place for number, place in on.items() if number not in step}
        kind = "touchEnd" if lifted else "touchStart" if len(step) > len(on) else "touchMove"
        points = [{"x": x, "y": y, "id": number} for number, (x, y) in (lifted or step).items()]
        on = step
        browser.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        page.evaluate(FRAMES)
        seen.append(shown(page))
    return seen


def test_two_fingers_zoom_the_picture_and_not_the_page_where_one_scrolls(open_page):
    page = open_page(375, 812, has_touch=True)
    open_bench(page)
    tool(page, "include")
    pinch(page, [(0.45, 0.5), (0.55, 0.5)], [(0.2, 0.5), (0.8, 0.5)])
    page.evaluate(FRAMES)
    assert shown(page)[0] == pytest.approx(1 / 6, abs=0.04)
    assert page.evaluate("visualViewport.scale") == 1


@pytest.mark.parametrize("left", [0, 1])
def test_the_finger_that_is_left_of_two_moves_the_picture_on_from_where_it_is(open_page, left):
    page = open_page(375, 812, has_touch=True)
    open_bench(page)
    tool(page, "brush")
    (x, y), (right, _) = at(page, 0.4, 0.5), at(page, 0.6, 0.5)
    apart = {0: (x - 40, y), 1: (right + 40, y)}
    beside = {left: (apart[left][0] - 12, y)}
    width = page.locator("#result .stage").bounding_box()["width"]
    *_, before, _, after, _ = fingers(
        page, {0: (x, y)}, {0: (x, y), 1: (right, y)}, apart, {left: apart[left]}, beside, {}
    )
    assert after[0] == pytest.approx(before[0], abs=1e-3)
    assert after[1] - before[1] == pytest.approx(12 / width * after[0], abs=0.005)
    expect(page.locator("#result [data-do=undo]")).to_be_disabled()


def test_after_a_drag_without_a_click_the_next_click_counts(open_page):
    page = open_page(1280, 800)
    open_bench(page)
    page.evaluate(
        "() => { window.chosen = []; document.addEventListener('lab:patch', e => chosen.push(e.detail.from)); }"
    )
    page.get_by_label("Zoom in").click()
    x, y = at(page, 0.5, 0.5)
    page.mouse.move(x, y)
    page.mouse.down(button="middle")
    page.mouse.move(x + 60, y + 30, steps=5)
    page.mouse.up(button="middle")
    page.locator("#result .open-bench").click()
    page.mouse.click(*at(page, 0.2, 0.2))
    page.wait_for_function("chosen.includes('result')")


PLACED = "names => [...names.children].map(name => [name.textContent, name.style.translate, name.hidden])"
COPIED = """() => {
  window.copied = [];
  const proto = OffscreenCanvasRenderingContext2D.prototype, usual = proto.fillText;
  proto.fillText = function (text, ...at) {
    copied.push([text, ...at.map(Math.round)]);
    return usual.call(this, text, ...at);
  };
}"""


def test_names_are_placed_when_all_is_in_view_again_and_copied_meanwhile(open_page):
    page = open_page(1280, 800)
    open_bench(page)
    page.evaluate(COPIED)
    copies = []
    for _ in range(2):
        page.locator("#result .copy-image").click()
        expect(page.locator("#result .said")).not_to_be_empty()
        copies.append(page.evaluate("copied.splice(0)"))
        page.get_by_label("Zoom in").click()
    assert copies[0]
    assert copies[1] == copies[0]
    assert much(page) == "225 %"
    tool(page, "brush")
    draw_by_mouse(page, [(0.45, 0.5), (0.5, 0.5)])
    expect_fixes(page, 1)
    for _ in range(2):
        page.get_by_label("Zoom out").click()
    placed = page.locator("#result .names").evaluate(PLACED)
    assert placed
    assert all(translate or hidden for _, translate, hidden in placed)


def test_a_finger_whose_end_never_came_does_not_count(open_page):
    page = open_page(375, 812, has_touch=True)
    open_bench(page)
    tool(page, "brush")
    lost = {"pointerType": "touch", "pointerId": 99, "isPrimary": True, "bubbles": True}
    page.locator("#result .stage img").dispatch_event("pointerdown", lost)
    draw_by_finger(page, [(0.3, 0.3), (0.5, 0.4)])
    expect_fixes(page, 1)
