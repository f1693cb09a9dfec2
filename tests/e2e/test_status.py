"""Status line in a real browser: readable in full, immediate, and never about a run that has ended."""

from __future__ import annotations

import pytest

pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install -e '.[dev]'")
from playwright.sync_api import expect

from tests.e2e.steps import FIRST_WORDS, expect_result_of, upload

pytestmark = pytest.mark.e2e

CUT = """strip => {
  const box = strip.getBoundingClientRect();
  return strip.scrollHeight > strip.clientHeight + 1 || box.top < 0 || box.bottom > innerHeight;
}"""


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (375, 812)])
def test_what_is_said_can_be_read_whole(open_page, tmp_path, width, height):
    page = open_page(width, height)
    expect_result_of(page, FIRST_WORDS)
    banner, said = page.locator("#banner .strip"), page.locator("#status .strip")
    expect(banner).to_contain_text("a real CLIP reads them better.")
    assert not banner.evaluate(CUT)
    page.locator("#words textarea").fill("dog; a class of a long name that nobody has typed yet")
    assert not said.evaluate(CUT), "out of date"
    no_picture = tmp_path / "text.jpg"
    no_picture.write_text("This is no picture.\n" * 9, encoding="utf-8")
    upload(page, no_picture)
    expect(said).to_contain_text("This file is no picture")
    assert not said.evaluate(CUT), "no picture"
    page.locator("#segment").click()
    expect(said).to_contain_text("save it as PNG or JPEG")
    assert not said.evaluate(CUT), "an error"
    if width < 640:  # the words field is fixed at the bottom: it must not cover the end of the page
        ends = page.locator(".gradio-container").first.evaluate("frame => frame.getBoundingClientRect().bottom")
        assert ends <= page.locator("#ask").bounding_box()["y"] + 1


def test_what_runs_is_said_at_once_and_no_longer_than_it_runs(open_page, tmp_path):
    page = open_page(1280, 800)
    expect_result_of(page, FIRST_WORDS)
    said, words, held = page.locator("#status"), page.locator("#words textarea"), []
    full = {"status": 503, "json": {"detail": "Queue is full."}}

    def hold(route) -> None:  # a slow server
        held.append(route)

    page.route("**/queue/join?*", hold)

    def ask(text: str) -> None:
        words.fill(text)
        words.press("Enter")
        expect(said).to_contain_text("Working:", timeout=2_000)
        expect(said.locator(".busy", has_text="Done")).to_have_count(0)  # the answer may be there already
        page.wait_for_timeout(200)  # the request is under way

    ask("dog; road")
    expect(page.locator("#stop")).to_be_visible()
    page.locator("#stop").click()
    expect(said).to_contain_text("Stopped.")
    page.wait_for_timeout(500)
    expect(said).to_contain_text("Stopped.")
    held.pop().fulfill(**full)
    ask("dog; hill")
    held.pop().fulfill(**full)
    expect(said.locator(".bad")).to_contain_text("There is no new result.")
    expect(page.locator("#stop")).to_be_hidden()
    page.unroute("**/queue/join?*")
    ask("dog; lake")
    expect_result_of(page, "dog; lake")
    expect(said).to_contain_text("Done:")
    page.locator("#examples button").nth(3).click()
    expect(said).to_contain_text("Working:", timeout=2_000)
    expect(said).to_contain_text("Done:")
    expect(page.locator("#stop")).to_be_hidden()
    page.route("**/queue/join?*", hold)
    page.get_by_label("Image prior").click()  # a setting also starts a run
    expect(said).to_contain_text("Working:", timeout=2_000)
    expect(page.locator("#stop")).to_be_visible()
    held.pop().continue_()
    page.unroute("**/queue/join?*")
    expect(said).to_contain_text("Done:")
    expect(page.locator("#stop")).to_be_hidden()


def test_a_setting_before_the_first_result_starts_nothing(open_page):
    page = open_page(1280, 800)
    expect_result_of(page, FIRST_WORDS)
    page.get_by_role("button", name="Remove Image").click()
    said = page.locator("#status")
    expect(said).to_contain_text("No picture.")
    page.get_by_label("Image prior").click()
    page.wait_for_timeout(1_000)
    expect(said).to_contain_text("No picture.")
    expect(page.locator("#stop")).to_be_hidden()


def test_what_a_result_is_taken_with_waits_for_one(open_page):
    page = open_page(1280, 800)
    expect_result_of(page, FIRST_WORDS)
    takers = [page.locator("#download"), page.locator("#save"), page.get_by_role("button", name="Copy image")]
    for one in takers:
        expect(one).to_be_enabled()
    page.get_by_role("button", name="Remove Image").click()
    for one in takers:
        expect(one).to_be_disabled()
    page.locator("#examples button").nth(3).click()
    for one in takers:
        expect(one).to_be_enabled()
    with page.expect_download():
        takers[0].click()


def slow_down(page, latency: int) -> None:
    """Make each request of the page take that many milliseconds longer."""
    line = {"offline": False, "latency": latency, "downloadThroughput": -1, "uploadThroughput": -1}
    page.context.new_cdp_session(page).send("Network.emulateNetworkConditions", line)


def expect_nothing_runs(page) -> None:
    expect(page.locator("#stop")).to_be_hidden()
    assert not page.evaluate("document.body.classList.contains('running')")


@pytest.mark.parametrize("clicks", [2, 3])
@pytest.mark.parametrize("pause", [0, 200])
def test_quick_clicks_on_a_slow_line_end_with_the_last_choice(open_page, clicks, pause):
    page = open_page(1280, 800)
    expect_result_of(page, FIRST_WORDS)
    slow_down(page, 200)
    rest = page.get_by_role("checkbox", name="everything else")
    expect(rest).not_to_be_checked()
    for _ in range(clicks):
        rest.evaluate("box => box.click()")
        page.wait_for_timeout(pause)
    page.wait_for_function("!document.body.classList.contains('running')")
    page.wait_for_timeout(2_500)  # nothing late
    assert rest.is_checked() == (clicks % 2 == 1)
    expect(page.locator("#legend", has_text="everything else")).to_have_count(clicks % 2)
    expect_nothing_runs(page)


@pytest.mark.parametrize("pause", [0, 300, 700])
def test_a_choice_during_a_run_is_that_of_the_last_result(open_page, pause):
    page = open_page(1280, 800)
    expect_result_of(page, FIRST_WORDS)
    slow_down(page, 500)
    page.locator("#words textarea").fill("horse")  # alone: everything else is ticked
    rest = page.get_by_role("checkbox", name="everything else")
    expect(rest).to_be_checked()
    page.locator("#segment").evaluate("button => button.click()")
    page.wait_for_timeout(pause)
    rest.evaluate("box => box.click()")
    page.wait_for_timeout(4_000)
    expect_nothing_runs(page)
    expect(rest).not_to_be_checked()
    expect(page.locator("#legend", has_text="everything else")).to_have_count(0)


def test_leaving_fields_untouched_leaves_nothing_running(open_page):
    page = open_page(1280, 800)
    expect_result_of(page, FIRST_WORDS)
    page.get_by_label("Method", exact=True).focus()
    for _ in range(12):
        page.keyboard.press("Tab")
    page.wait_for_timeout(3_000)
    expect_nothing_runs(page)
    expect(page.locator("#status")).to_contain_text("Done:")
