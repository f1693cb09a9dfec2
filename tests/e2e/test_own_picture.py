"""A visitor's own picture, in a real browser: upload, removal, and reload of the page."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install -e '.[dev]'")
from playwright.sync_api import expect

from demo.settings import EXAMPLES
from tests.e2e.steps import FIRST_WORDS, expect_no_sideways_scroll, expect_result_of, segment
from tests.photographs import photograph

pytestmark = pytest.mark.e2e

COWS = EXAMPLES / "cows.jpg"


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (375, 812)])
def test_there_is_always_a_button_that_uploads(open_page, width, height):
    page = open_page(width, height)
    expect_result_of(page, FIRST_WORDS)
    button = page.locator("#upload button")
    expect(page.locator("#upload")).to_contain_text("or drop / paste")
    with page.expect_file_chooser():
        page.locator("#picture img").click(position={"x": 8, "y": 30})  # not on the cross that removes the picture
    with page.expect_file_chooser() as asked:
        button.press("Enter")
    asked.value.set_files(COWS)
    expect(page.locator("#status")).to_contain_text("Your picture is here")
    expect_no_sideways_scroll(page)
    page.get_by_role("button", name="Remove Image").click()
    expect(page.locator("#status")).to_contain_text("No picture")
    expect(page.locator("#result .stage img")).to_be_hidden()
    with page.expect_file_chooser():
        button.click()


def test_after_the_upload_the_words_can_be_typed_at_once(open_page):
    page = open_page(1280, 800)
    expect_result_of(page, FIRST_WORDS)
    with page.expect_file_chooser() as asked:
        page.locator("#upload button").press("Enter")
    assert ".zip" in page.locator("#picture input[type=file]").get_attribute("accept"), "a saved result"
    asked.value.set_files(COWS)
    expect(page.locator("#words textarea")).to_be_focused()
    page.keyboard.type("cow; grass\n")
    expect_result_of(page, "cow; grass")
    # Somebody who already types goes on.
    page.locator("#words textarea").fill("horse; ")
    page.locator("#picture input[type=file]").set_input_files(EXAMPLES / "horses.jpg")
    expect(page.locator("#status")).to_contain_text("Your picture is here")
    page.keyboard.type("sky")
    expect(page.locator("#words textarea")).to_have_value("horse; sky")


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (375, 812)])
def test_suggested_words_segment_a_new_picture_with_one_click(open_page, artifacts, width, height):
    page = open_page(width, height)
    expect_result_of(page, FIRST_WORDS)
    page.locator("#picture input[type=file]").set_input_files(COWS)
    expect(page.locator("#suggested")).to_contain_text("Perhaps in it: grass, cow, tree.")
    page.screenshot(path=artifacts / f"suggested_{width}.png")
    page.get_by_role("button", name="Use these words").click()
    expect_result_of(page, "grass; cow; tree")
    expect(page.locator("#words textarea")).to_have_value("grass; cow; tree")
    expect(page.locator("#suggested .strip")).to_have_count(0)
    # Those of one picture do not stay beside another one, nor its own beside its result.
    page.locator("#picture input[type=file]").set_input_files(EXAMPLES / "kitten.jpg")
    expect(page.locator("#suggested")).to_contain_text("Perhaps in it: sofa, cat.")
    page.locator("#words textarea").fill("cat; cloth")
    page.locator("#words textarea").press("Enter")
    expect_result_of(page, "cat; cloth")
    expect(page.locator("#suggested .strip")).to_have_count(0)


def give_on_a_slow_line(page, picture=COWS) -> Callable[[], None]:
    """Type words and give a picture whose upload is held back; return the function that lets it go on."""
    expect_result_of(page, FIRST_WORDS)
    held = []
    page.route("**/upload?*", lambda route: held.append(route))
    page.locator("#words textarea").fill("cow; grass")
    page.locator("#picture input[type=file]").set_input_files(picture)

    def go_on() -> None:
        while not held:
            page.wait_for_timeout(20)
        held.pop().continue_()

    return go_on


@pytest.mark.parametrize("pause", [0, 50, 300, 900])
def test_enter_while_the_picture_is_on_its_way_segments_it(open_page, pause):
    page = open_page(1280, 800)
    go_on = give_on_a_slow_line(page)
    if pause > 600:  # after its arrival
        go_on()
    page.wait_for_timeout(pause)
    page.locator("#words textarea").press("Enter")
    if pause <= 600:
        go_on()
    expect(page.locator("#picture img")).to_have_attribute("src", re.compile(r"cows\.jpg$"))
    expect(page.locator("#status")).to_contain_text("Done:")
    expect_result_of(page, "cow; grass")
    shape = page.locator("#result .stage img").evaluate("picture => picture.naturalHeight / picture.naturalWidth")
    assert shape == pytest.approx(600 / 800, abs=0.01)
    page.wait_for_timeout(500)
    expect(page.locator("#status")).to_contain_text("Done:")


def test_stop_takes_back_enter_while_the_picture_is_on_its_way(open_page, tmp_path):
    page = open_page(1280, 800)
    # Gradio sends the request with the picture, and then the page's cancellation: a result in the cache is faster.
    go_on = give_on_a_slow_line(page, photograph(tmp_path / "new.jpg", seed=23))
    page.locator("#words textarea").press("Enter")
    page.locator("#stop").dispatch_event("click")
    go_on()
    expect(page.locator("#picture img")).to_have_attribute("src", re.compile(r"new\.jpg$"))
    expect(page.locator("#status")).to_contain_text("Your picture is here.")
    page.wait_for_timeout(1000)
    expect(page.locator("#status")).to_contain_text("Your picture is here.")


def test_a_picture_of_one_s_own_comes_back_with_a_reload_or_is_said_to_be_gone(open_page, server, tmp_path):
    mine = tmp_path / "mine.jpg"
    mine.write_bytes(COWS.read_bytes() + b"of this test")
    page = open_page(1280, 800)
    segment(page, mine, "cow; grass")
    page.wait_for_url("**own=yes**")
    page.reload()
    expect_result_of(page, "cow; grass")
    expect(page.locator("#picture img")).to_have_attribute("src", re.compile(r"mine\.jpg$"))

    elsewhere = open_page(1280, 800)
    elsewhere.goto(page.url)
    for path in server.files():
        if path.name == "mine.jpg":  # other tests leave one of that name
            path.unlink()
    page.reload()
    for one in (page, elsewhere):
        expect(one.locator("#status")).to_contain_text("The picture of this address is not here.")
        expect(one.locator("#words textarea")).to_have_value("cow; grass")
        expect(one.locator("#picture img")).to_have_count(0)
        expect(one.locator("#result .names span")).to_have_count(0)
    page.locator("#examples button").nth(2).click()
    page.wait_for_url("**example=**")
    assert "own=" not in page.url
