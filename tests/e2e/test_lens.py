"""The lens in a real browser, on a page of its own: hover, tap, keys, numbers, speed, large grids, a phone."""

from __future__ import annotations

import re
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install -e '.[dev]'")
from playwright.sync_api import expect

from cliptrase_core.inspection.statistics import measure, patch_shares, surroundings
from demo.examples import read_examples
from demo.service import SegmentRequest, Service
from demo.service.lens import lens_value
from demo.settings import Settings
from tests.e2e.conftest import PATIENCE
from tests.e2e.steps import expect_no_sideways_scroll, move_over, place
from tests.server import serving

pytestmark = pytest.mark.e2e

VIEWS = ("picture", "before", "after", "clusters", "denoised", "words")
STEPS = ("1 Before", "2 After", "3 Clusters", "4 Denoised", "5 Words")
ONE_LINE = """button => {
  const text = document.createRange();
  text.selectNodeContents(button);
  return text.getBoundingClientRect().height < 1.9 * parseFloat(getComputedStyle(button).fontSize);
}"""
PIXELS = "canvas => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.join()"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Server of the lens's own page instead of the app."""
    with serving(tmp_path_factory.mktemp("lens"), ("tests/e2e/lens_page.py",)) as running:
        yield running


@pytest.fixture(scope="module")
def service():
    return Service(Settings(model="nano", device="cpu"))


@pytest.fixture
def open_lens(open_page):
    """Function that opens the page and segments an example; console errors and requests are recorded."""

    def open_at(width=1280, example="kitten", words="", side=0, **options):
        page = open_page(width, **options)
        page.complaints, page.requests = [], []
        page.on("console", lambda message: message.type == "error" and page.complaints.append(message.text))
        page.on("request", lambda request: page.requests.append(request.url))
        expect(page.locator("#lens .lens-wait")).to_be_visible()
        segment(page, example, words, side)
        return page

    return open_at


def segment(page, example, words="", side=0):
    page.locator("#example input").click()
    page.get_by_role("option", name=example, exact=True).click()
    page.locator("#words textarea, #words input").first.fill(words)
    page.locator("#side input").fill(str(side))
    before = page.locator(".lens").get_attribute("data-shown")
    page.locator("#go").click()
    expect(page.locator(".lens-ready")).to_be_visible(timeout=PATIENCE)
    expect(page.locator(".lens")).not_to_have_attribute("data-shown", before or "none", timeout=PATIENCE)


def pane(page, view):
    return page.locator(f"#lens [data-view={view}]")


def hover(page, view, row, column):
    _, _, h, w = place(page)
    box = pane(page, view).bounding_box()
    page.mouse.move(box["x"] + (column + 0.5) / w * box["width"], box["y"] + (row + 0.5) / h * box["height"])
    expect(page.locator("[data-view=picture] + figcaption")).to_contain_text(f"row {row}, column {column} of")


def crosses(page):
    """Return (row, column) of the centre of each pane's cross, as shares of the pane's height and width."""
    return page.evaluate("""() => [...document.querySelectorAll("#lens .lens-pane")].map(pane => {
      const box = pane.getBoundingClientRect(), mark = pane.querySelector(".lens-cross").getBoundingClientRect();
      return [(mark.top + mark.height / 2 - box.top) / box.height, (mark.left + mark.width / 2 - box.left) / box.width];
    })""")


def numbers(page):
    cells = page.locator("#lens [data-number]").evaluate_all(
        "cells => cells.map(cell => [cell.dataset.number, cell.textContent])"
    )
    return {name: float(text.split()[0]) / 100 for name, text in cells if name != "spot.class"}


def exact(service, example, row, column, layer=None):
    path = str(next(one.path for one in read_examples() if one.name == example))
    seen = service.open(path)
    maps, found = service.maps(seen, path, layer), {}
    for side, matrix in (("before", maps.attention), ("after", maps.recovered)):
        shares = patch_shares(matrix[maps.token(row, column), 1:])
        one = measure(shares, maps.global_patches, surroundings(seen.grid, row, column))
        found |= {f"{name}.{side}": getattr(one, name) for name in ("on_global", "entropy", "near")}
    return found


def telling(service, example, layer=None, head=None):
    """Return (row, column) of the patch that recovery changes most in a layer and head, where the key Home leads."""
    one = next(one for one in read_examples() if one.name == example)
    run = service.segment(str(one.path), SegmentRequest(one.words)).run
    return divmod(lens_value(service, run, str(one.path), layer, head=head)["start"], run.key.grid[1])


def test_hover_moves_every_pane_and_the_numbers_are_the_core_s(open_lens, service, artifacts):
    page = open_lens()
    page.screenshot(path=artifacts / "lens_1280.png", full_page=True)
    for view, row, column in zip(VIEWS, (2, 5, 13, 0, 7, 9), (3, 11, 18, 0, 4, 16), strict=True):
        hover(page, view, row, column)
        _, _, h, w = place(page)
        for down, across in crosses(page):
            assert (int(down * h), int(across * w)) == (row, column)
        assert numbers(page) == pytest.approx(exact(service, "kitten", row, column), abs=0.001)
    page.mouse.move(2, 2)  # without a pointer, the chosen patch is shown again
    expect(page.locator("[data-view=picture] + figcaption")).not_to_contain_text("row 9, column 16 of")
    assert page.complaints == page.strangers == []


def test_a_move_costs_no_request(open_lens):
    page = open_lens()
    box = pane(page, "before").bounding_box()
    page.requests.clear()
    seen = set()
    for step in range(40):
        move_over(page, box, step)
        page.evaluate("new Promise(requestAnimationFrame)")
        seen.add(place(page)[:2])
    assert len(seen) > 20
    assert page.requests == []
    assert page.complaints == []


def test_keys_move_choose_go_home_and_change_the_layer(open_lens, service):
    page = open_lens(example="shepherd")
    start = place(page)[:2]
    pane(page, "after").focus()
    page.keyboard.press("Home")
    for key, by in (("ArrowDown", (1, 0)), ("ArrowUp", (-1, 0))) * 2 + (("ArrowLeft", (0, -1)), ("ArrowRight", (0, 1))):
        row, column, h, w = place(page)
        page.keyboard.press(key)
        row, column = min(max(row + by[0], 0), h - 1), min(max(column + by[1], 0), w - 1)
        expect(page.locator("[data-view=picture] + figcaption")).to_contain_text(f"row {row}, column {column} of")
    page.keyboard.press("ArrowDown")
    expect(page.locator("[data-view=picture] + figcaption")).to_contain_text(f"row {row + 1}, column {column} of")
    page.keyboard.press("Home")
    expect(page.locator("[data-view=picture] + figcaption")).to_contain_text(f"row {start[0]}, column {start[1]} of")
    assert place(page)[:2] == start == telling(service, "shepherd")
    for _ in range(40):
        page.keyboard.press("ArrowLeft")  # it stops at the edge; no fast press is lost
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    expect(page.locator("[data-view=picture] + figcaption")).to_contain_text("column 3 of")
    row = place(page)[0]
    page.keyboard.press("Enter")
    expect(page.locator("#heard textarea")).to_have_value(re.compile(rf"^\[{row}, 3\] (dog|grass|bushes)$"))

    page.requests.clear()
    for _ in range(5):
        page.keyboard.press("-")
    expect(page.locator(".lens-layer")).to_have_text("Layer 6 of 12")
    expect(page.locator(".lens-busy")).to_have_count(0, timeout=PATIENCE)
    assert place(page)[:2] == (row, 3)  # another layer of the same patch
    assert numbers(page) == pytest.approx(exact(service, "shepherd", row, 3, 6), abs=0.001)
    assert len([url for url in page.requests if "/queue/join" in url]) == 1  # five presses, one request
    page.keyboard.press("+")
    expect(page.locator(".lens-layer")).to_have_text("Layer 7 of 12")
    page.locator(".lens-head").select_option("2")
    expect(page.locator(".lens-busy")).to_have_count(0, timeout=PATIENCE)
    page.keyboard.press("Home")
    home = telling(service, "shepherd", 7, 2)
    assert home != (row, 3), "Home has to move"
    expect(page.locator("[data-view=picture] + figcaption")).to_contain_text(f"row {home[0]}, column {home[1]} of")
    assert place(page)[:2] == home
    assert page.complaints == []


def test_another_value_redraws_everything_and_none_empties_the_lens(open_lens):
    page = open_lens()
    seen = lambda: [pane(page, view).locator(".lens-map").evaluate(PIXELS) for view in VIEWS[1:]]  # noqa: E731
    first, picture = seen(), pane(page, "picture").locator("img").get_attribute("src")
    segment(page, "cows")
    page.evaluate("new Promise(requestAnimationFrame)")
    for view, before, after in zip(VIEWS[1:], first, seen(), strict=True):
        assert before != after, view
    assert picture != pane(page, "picture").locator("img").get_attribute("src")
    page.locator("#clear").click()
    expect(page.locator("#lens .lens-wait")).to_be_visible()
    expect(page.locator("#lens .lens-panes")).to_be_hidden()
    segment(page, "kitten", '<img src=x onerror="window.hit=1">; ${window.hit=1}; {{value}}; cat')
    assert page.locator("#lens .lens-name").count()
    assert page.evaluate("window.hit") is None  # names are user input: text, never markup
    assert page.locator("#lens img").count() == len(VIEWS)
    segment(page, "kitten")
    assert seen() == first
    assert page.complaints == []


def test_another_method_has_its_name_on_the_words_and_cliptrase_on_its_steps(open_lens, artifacts):
    page = open_lens()
    title = lambda view: page.locator(f"#lens figure:has([data-view={view}]) .lens-title")  # noqa: E731
    assert [title(view).inner_text() for view in VIEWS[1:]] == list(STEPS)
    page.locator("#method textarea, #method input").fill("clearclip")
    segment(page, "kitten")
    expect(title("words")).to_have_text("5 Words by ClearCLIP")
    for view, step in zip(VIEWS[2:5], STEPS[1:4], strict=True):
        expect(title(view)).to_have_text(f"{step} (CLIPtrase)")
    expect(page.locator(".lens-note")).to_contain_text("The words are ClearCLIP's")
    page.screenshot(path=artifacts / "lens_method_1280.png", full_page=True)
    page.locator("#method textarea, #method input").fill("")
    segment(page, "kitten")
    assert [title(view).inner_text() for view in VIEWS[1:]] == list(STEPS)
    expect(page.locator(".lens-note")).to_be_hidden()


@pytest.mark.parametrize("width", [1280, 375])
def test_names_stay_inside_the_frame(open_lens, artifacts, width):
    page = open_lens(
        width, example="cows", words="an umbrella in the rain; everything green that grows; sky above it; cow"
    )
    cut_off = """() => [...document.querySelectorAll("#lens .lens-pane span")].filter(tag => {
      const box = tag.getBoundingClientRect(), frame = tag.parentNode.getBoundingClientRect();
      return box.left < frame.left || box.right > frame.right || box.top < frame.top || box.bottom > frame.bottom;
    }).map(tag => tag.textContent)"""
    assert page.locator("#lens .lens-name").count() > 1
    assert page.evaluate(cut_off) == []
    page.screenshot(path=artifacts / f"lens_names_{width}.png", full_page=True)
    page.set_viewport_size({"width": 600 if width > 600 else 320, "height": 800})
    page.wait_for_function(f"() => !({cut_off})().length")


def test_a_large_grid_asks_for_one_row_where_the_pointer_rests(open_lens):
    page = open_lens(example="cows", side=448)
    expect(page.locator(".lens-note")).to_contain_text("too many to send at once")
    expect(pane(page, "before")).not_to_have_class(re.compile("lens-late"), timeout=PATIENCE)
    first = pane(page, "before").locator(".lens-map").evaluate(PIXELS)
    page.requests.clear()
    for column in range(4, 24, 2):
        _, _, h, w = place(page)
        box = pane(page, "words").bounding_box()
        page.mouse.move(box["x"] + (column + 0.5) / w * box["width"], box["y"] + 9.5 / h * box["height"])
    expect(page.locator("[data-view=picture] + figcaption")).to_contain_text("row 9, column 22 of")
    expect(pane(page, "before")).not_to_have_class(re.compile("lens-late"), timeout=PATIENCE)
    assert pane(page, "before").locator(".lens-map").evaluate(PIXELS) != first
    assert len([url for url in page.requests if "/queue/join" in url]) <= 4
    assert page.complaints == page.strangers == []


def test_a_presentation_shows_one_step_a_screen_and_asks_nothing(open_lens):
    page = open_lens(1280, height=720)
    open_slides, point = page.locator("dialog[open]"), page.locator(".lens-point")
    told = {view: page.locator(f"[data-view={view}] ~ figcaption").inner_text() for view in VIEWS[1:]}
    page.requests.clear()
    page.get_by_role("button", name="Present").click()
    for number, (view, title) in enumerate(zip(VIEWS[1:], STEPS, strict=True), 1):
        expect(page.get_by_role("heading", name=title)).to_be_visible()
        expect(page.locator(".lens-count")).to_have_text(f"{number} / 5")
        expect(point).to_have_text(told[view])
        assert point.evaluate("one => parseFloat(getComputedStyle(one).fontSize)") > 24
        for shown in (view, "picture"):
            expect(open_slides.locator(f"[data-view={shown}]")).to_be_in_viewport(ratio=1)
        assert open_slides.locator("[data-view]").count() == 2
        page.keyboard.press("ArrowRight")
    expect(page.locator(".lens-count")).to_have_text("5 / 5")
    page.keyboard.press("Home")
    box = open_slides.locator("[data-view=picture]").bounding_box()
    page.mouse.click(box["x"] + 3, box["y"] + 3)
    for key, number in (("PageDown", 2), (" ", 3), ("ArrowLeft", 2), ("PageUp", 1), ("ArrowLeft", 1)):
        page.keyboard.press(key)
        expect(page.locator(".lens-count")).to_have_text(f"{number} / 5")
    assert page.requests == []
    page.keyboard.press("Escape")
    expect(open_slides).to_have_count(0)
    expect(page.get_by_role("button", name="Present")).to_be_focused()
    assert page.evaluate("document.fullscreenElement") is None
    assert page.locator(".lens-panes [data-view]").evaluate_all("all => all.map(one => one.dataset.view)") == list(
        VIEWS
    )
    assert place(page)[:2] == (0, 0)
    expect(page.locator("#heard textarea")).to_have_value(re.compile(r"^\[0, 0\] "))  # one request, at the end
    assert page.complaints == page.strangers == []


def test_what_is_said_beside_the_affinity_is_not_about_the_recovered_attention(open_lens, artifacts):
    page = open_lens(1280, height=720)
    tell, end = page.locator(".lens-tell"), page.locator(".lens-end")
    title = page.locator("#lens figure:has([data-view=after]) .lens-title")
    usual = [part.inner_text() for part in (tell, end, title)]
    assert "; now " in usual[0]
    before = pane(page, "after").locator(".lens-map").evaluate(PIXELS)
    page.locator(".lens-kind").select_option("affinity")
    expect(title).to_have_text("2 Affinity")
    expect(title).to_have_attribute("title", re.compile("^How similar each patch is"))
    expect(pane(page, "after")).to_have_attribute("aria-label", re.compile("^2 Affinity. How similar"))
    expect(tell).not_to_contain_text("now")
    expect(tell).to_contain_text("of its attention went to")
    expect(end).to_have_text(f"before: {usual[1]}; affinity: 1 (cosine; below 0 counts as 0)")
    for name in ("on_global", "entropy", "near"):
        expect(page.locator(f"[data-number='{name}.before']")).to_be_visible()
        expect(page.locator(f"[data-number='{name}.after']")).to_be_hidden()
    expect(page.locator(".lens-numbers")).not_to_contain_text("\u2192", use_inner_text=True)
    assert pane(page, "after").locator(".lens-map").evaluate(PIXELS) != before
    page.locator("#lens").screenshot(path=artifacts / "lens_affinity.png")

    page.get_by_role("button", name="Present").click()
    expect(end).to_have_text(usual[1])
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("heading", name="2 Affinity")).to_be_visible()
    expect(page.locator(".lens-point")).to_contain_text("cosine similarity")
    expect(page.locator(".lens-about")).to_contain_text("How similar each patch is")
    expect(end).to_have_text("1 (cosine; below 0 counts as 0)")
    page.keyboard.press("Escape")
    expect(end).to_contain_text("before: ")
    page.locator(".lens-kind").select_option("recovered")
    for part, text in zip((tell, end, title), usual, strict=True):
        expect(part).to_have_text(text)
    assert page.complaints == []


def test_a_slide_names_layer_and_head(open_lens):
    page = open_lens()
    where = page.locator(".lens-where")
    page.locator(".lens-head").select_option("2")
    expect(page.locator(".lens-busy")).to_have_count(0, timeout=PATIENCE)
    page.locator("[data-do=shallower]").click()
    expect(page.locator(".lens")).to_have_attribute("data-shown", re.compile(" 10 2$"), timeout=PATIENCE)
    page.get_by_role("button", name="Present").click()
    clustered = "Layer 11 of 12, mean of 3 heads"
    for said in ("Layer 10 of 12, head 2 of 3", "Layer 10 of 12, head 2 of 3", clustered, clustered, ""):
        expect(where).to_have_text(said)
        page.keyboard.press("ArrowRight")


def test_a_presentation_ends_when_its_result_is_cleared(open_lens):
    page = open_lens(1280, height=720)
    page.get_by_role("button", name="Present").click()
    page.keyboard.press("ArrowRight")
    box = page.locator("dialog[open] [data-view=picture]").bounding_box()
    page.mouse.click(box["x"] + 3, box["y"] + 3)  # another patch: it is requested at the end, if there is a result
    page.locator("#clear").evaluate("button => button.click()")  # the slide covers the button
    expect(page.locator("dialog[open]")).to_have_count(0)
    expect(page.locator("#lens .lens-wait")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#heard textarea")).to_have_value("")
    assert page.evaluate("document.fullscreenElement") is None
    segment(page, "horses")
    expect(page.locator(".lens-panes [data-view]")).to_have_count(len(VIEWS))
    assert page.complaints == page.strangers == []


@pytest.mark.parametrize(("width", "height"), [(360, 780), (390, 844), (430, 932), (844, 390)])
def test_a_slide_fits_a_phone(open_lens, artifacts, width, height):
    page = open_lens(width, height=height, has_touch=True)
    page.get_by_role("button", name="Present").tap()
    parts = page.locator("dialog[open] button, .lens-ruler > *, .lens-where, .lens-point, .lens-stand figure:visible")
    for number in range(1, 6):
        expect(page.locator(".lens-count")).to_have_text(f"{number} / 5")
        boxes = [part.bounding_box() for part in parts.all() if part.is_visible() and part.inner_text() != ""]
        for one in boxes:
            assert one["x"] >= 0
            assert one["x"] + one["width"] <= width
            assert one["y"] + one["height"] <= height
        for button in page.locator("dialog[open] button").all():
            assert button.evaluate(ONE_LINE), button.inner_text()
            assert button.evaluate("one => one.scrollWidth <= one.clientWidth")
            for other in page.locator(".lens-ruler > :visible").all():
                assert apart(button.bounding_box(), other.bounding_box())
        page.screenshot(path=artifacts / f"lens_slide_{width}_{number}.png")
        if number < 5:
            page.locator("[data-go=on]").tap()


def apart(one, other):
    """Return whether two boxes do not touch."""
    ends = [(one[at] + one[size], other[at] + other[size]) for at, size in (("x", "width"), ("y", "height"))]
    return any(end <= other[at] or last <= one[at] for at, (end, last) in zip("xy", ends, strict=True))


@pytest.mark.parametrize("way", ["refused", "missing"])
def test_a_presentation_works_without_full_screen(open_lens, way):
    page = open_lens(375, height=812, has_touch=True)
    refusing = "() => { Element.prototype.requestFullscreen = () => Promise.reject(new Error('no')); }"
    page.evaluate(refusing if way == "refused" else "() => delete Element.prototype.requestFullscreen")
    page.get_by_role("button", name="Present").tap()
    for number in (2, 3, 4, 5):
        page.locator("[data-go=on]").tap()
        expect(page.locator(".lens-count")).to_have_text(f"{number} / 5")
    expect(page.locator("[data-go=on]")).to_be_disabled()
    screen = page.locator(".lens-screen")
    assert screen.evaluate("one => one.scrollWidth") <= 375
    assert screen.bounding_box()["height"] == 812
    page.get_by_role("button", name="Leave").tap()
    expect(page.locator("dialog[open]")).to_have_count(0)
    assert page.complaints == []


def test_on_a_phone_a_tap_chooses_and_a_drag_moves(open_lens, artifacts):
    page = open_lens(375, height=812, has_touch=True, reduced_motion="reduce")
    expect_no_sideways_scroll(page)
    for control in page.locator("#lens button:visible, #lens select:visible").all():
        box = control.bounding_box()
        assert min(box["width"], box["height"]) >= 44
    expect(pane(page, "picture")).to_be_hidden()  # the result above it already shows the picture
    box = pane(page, "before").bounding_box()
    _, _, h, w = place(page)
    page.touchscreen.tap(box["x"] + (w // 2 + 0.5) / w * box["width"], box["y"] + (h // 2 + 0.5) / h * box["height"])
    expect(page.locator("[data-view=picture] + figcaption")).to_contain_text(f"row {h // 2}, column {w // 2} of")
    expect(page.locator("#heard textarea")).to_have_value(re.compile(rf"^\[{h // 2}, {w // 2}\] "))
    page.screenshot(path=artifacts / "lens_375.png", full_page=True)
    for position in (2, 3, 4, 5):
        page.locator("[data-do=next]").tap()
        expect(page.locator(".lens-which")).to_contain_text(f"{position}/5")
    expect(page.locator("[data-do=next]")).to_be_disabled()
    expect(pane(page, "words")).to_be_in_viewport(ratio=0.9)
    for position in (4, 3, 2):
        page.locator("[data-do=previous]").tap()
        expect(page.locator(".lens-which")).to_contain_text(f"{position}/5")
    expect(page.locator(".lens-which")).to_have_text("2 After \u00b7 2/5")
    wiped = page.locator(".lens-was")
    assert wiped.evaluate(PIXELS) == pane(page, "before").locator(".lens-map").evaluate(PIXELS)
    for share in (0, 30, 100):  # before and after in one frame
        page.get_by_label("How much of the frame shows before").fill(str(share))
        assert wiped.evaluate("one => getComputedStyle(one).clipPath") == f"inset(0px {100 - share}% 0px 0px)"
    page.locator("[data-do=previous]").tap()
    expect(page.locator(".lens-which")).to_have_text("1 Before \u00b7 1/5")
    expect(page.locator("[data-do=previous]")).to_be_disabled()
    expect(pane(page, "before")).to_be_in_viewport(ratio=0.9)

    box = pane(page, "before").bounding_box()
    touch = page.context.new_cdp_session(page)
    at = lambda share: [{"x": box["x"] + share * box["width"], "y": box["y"] + box["height"] / 2}]  # noqa: E731
    touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": at(0.2)})
    for share in (0.3, 0.5, 0.7, 0.82):
        touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": at(share)})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    expect(page.locator("[data-view=picture] + figcaption")).to_contain_text(f"column {int(0.82 * w)} of")
    expect_no_sideways_scroll(page)
    assert page.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_ticked_box_looks_ticked(open_lens, artifacts, scheme):
    page = open_lens(color_scheme=scheme)
    pixels = lambda box: np.asarray(Image.open(BytesIO(box.screenshot())).convert("RGB"), int)  # noqa: E731
    for name in ("Smooth", "Large"):
        box = page.locator("#lens").get_by_label(name)
        empty = pixels(box)
        changed = lambda: (abs(pixels(box) - empty).max(axis=2) > 60).mean()  # noqa: B023, E731
        box.check()
        assert changed() > 0.5, "focused"
        box.blur()
        page.mouse.move(2, 2)
        assert changed() > 0.5
    page.locator(".lens-bar").screenshot(path=artifacts / f"lens_ticked_{scheme}.png")
