"""Model tab in a real browser: current model, model input, a model that cannot be downloaded, the page as an app."""

from __future__ import annotations

import pytest

pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install -e '.[dev]'")
from playwright.sync_api import expect

from demo.settings import EXAMPLES
from tests.e2e.steps import FIRST_WORDS, expect_result_of

pytestmark = pytest.mark.e2e

PATIENCE = 150_000  # ms; the first test waits until the model is loaded, on a machine that may be busy


def open_tab(page) -> None:
    expect_result_of(page, FIRST_WORDS)  # it replaces the file input
    page.locator("#picture input[type=file]").set_input_files(EXAMPLES / "shepherd.jpg")
    expect(page.locator("#picture img")).to_be_visible(timeout=PATIENCE)
    page.get_by_role("tab", name="Model").click()
    expect(page.locator("#model-facts dl")).to_be_visible(timeout=PATIENCE)
    expect(page.locator("#model-sizes dl")).to_be_visible(timeout=PATIENCE)


@pytest.mark.parametrize("width", [1280, 375])
def test_the_tab_says_what_runs_and_what_it_saw(open_page, artifacts, width):
    page = open_page(width)
    open_tab(page)
    facts = page.locator("#model-facts")
    for said in ("nano", "million parameters", "SHA-256", "cpu, fp32", "everyday things"):
        expect(facts).to_contain_text(said)
    expect(page.locator("#model-sizes")).to_contain_text("14 x 19 = 266 patches", timeout=PATIENCE)
    page.locator("#model-pixels img").scroll_into_view_if_needed()  # loaded lazily
    page.wait_for_function("document.querySelector('#model-pixels img').naturalWidth > 0")
    natural = page.locator("#model-pixels img").evaluate("i => [i.naturalWidth, i.naturalHeight]")
    assert natural == [2 * 304, 2 * 224]
    page.screenshot(path=artifacts / f"model-{width}.png", full_page=True)
    over = page.evaluate("document.querySelector('#model-facts').getBoundingClientRect().right - innerWidth")
    assert over <= 0
    assert page.strangers == []


def test_a_model_that_cannot_be_fetched_is_said_and_the_page_goes_on(open_page, artifacts):
    page = open_page(1280)
    open_tab(page)
    choice = page.locator("#model-choice input")
    choice.fill("ViT-B-32:openai")
    choice.press("Enter")
    page.locator("#model-load").click()
    expect(page.locator(".strip.bad")).to_contain_text("is not on the machine that runs this page", timeout=PATIENCE)
    page.screenshot(path=artifacts / "model-offline.png")
    expect(page.locator("#model-facts")).to_contain_text("nano")


def test_a_file_is_no_model(open_page):
    page = open_page(1280)
    open_tab(page)
    choice = page.locator("#model-choice input")
    choice.fill("../../etc/passwd")
    choice.press("Enter")
    page.locator("#model-load").click()
    reason = "Files can only be given where the page is started"
    expect(page.locator(".toast-body")).to_contain_text(reason, timeout=PATIENCE)
    expect(page.locator(".strip.bad")).to_contain_text(reason)  # stays after the message has gone


def test_nano_can_be_chosen_by_keyboard_and_becomes_this_page_s_own(open_page):
    page = open_page(1280)
    open_tab(page)
    page.locator("#model-load").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#model-news")).to_contain_text("nano is in use", timeout=PATIENCE)
    expect(page.get_by_text("Your choice, on this page only.")).to_be_visible(timeout=PATIENCE)


def test_a_browser_may_install_the_page(open_page):
    page = open_page(1280)
    manifest = page.evaluate("async () => (await fetch(document.querySelector('link[rel=manifest]').href)).json()")
    assert manifest["name"] == "CLIPtrase Lab"
    sizes = page.evaluate(
        """icons => Promise.all(icons.map(async icon => {
            const picture = new Image(); picture.src = icon.src; await picture.decode();
            return `${picture.naturalWidth}x${picture.naturalHeight}`; }))""",
        manifest["icons"],
    )
    assert sizes == ["192x192", "512x512"]
