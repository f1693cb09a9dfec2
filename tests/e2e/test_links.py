"""Permanent links: an example with words, unknown examples, hostile words, the copy button, browser history."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest

pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install -e '.[dev]'")
from playwright.sync_api import expect

from tests.e2e.steps import expect_result_of, place

pytestmark = pytest.mark.e2e

PATIENCE = 60_000
HELD = """wanted => {
  const query = new URLSearchParams(location.search);
  return Object.entries(wanted).every(([name, value]) => query.get(name) === value);
}"""
"""Script that returns whether the address has these values."""


def test_a_link_leads_to_a_result_without_a_click(open_page, server):
    page = open_page(1280)
    page.goto(f"{server.address}/?example=shepherd&words={quote('dog; road')}")
    expect(page.locator("#result .names span").first).to_be_visible(timeout=PATIENCE)
    expect(page.locator("#words textarea")).to_have_value("dog; road")
    expect(page.locator("#legend")).to_contain_text("road")


def test_an_unknown_example_opens_the_first_one(open_page, server):
    page = open_page(1280)
    page.goto(f"{server.address}/?example={quote('../../etc/passwd')}&words=dog")
    expect(page.locator("#words textarea")).to_have_value("dog", timeout=PATIENCE)
    expect_result_of(page, "dog")
    expect(page.locator("#everything-else input")).to_be_checked()  # one class would fill the picture
    expect(page.locator("#legend")).to_contain_text("everything else")


def test_hostile_words_of_a_link_stay_words(open_page, server):
    page = open_page(1280)
    page.goto(f"{server.address}/?example=shepherd&words={quote('<img src=x onerror=alert(1)>; dog')}")
    expect(page.locator("#result .names span").first).to_be_visible(timeout=PATIENCE)
    assert page.locator("#legend img").count() == 0


def test_the_button_copies_the_link_of_an_example_and_says_that_a_picture_of_one_s_own_has_none(open_page, server):
    page = open_page(1280, permissions=["clipboard-read", "clipboard-write"])
    page.goto(f"{server.address}/?example=shepherd&words=dog")
    expect(page.locator("#result .names span").first).to_be_visible(timeout=PATIENCE)
    page.locator("#words textarea").fill("dog; road")
    page.locator("#copy-link").click()
    expect(page.locator("#copy-link")).to_have_text("Copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == f"{server.address}/?example=shepherd&words=dog%3B+road"
    page.get_by_role("button", name="Remove Image").click()
    page.locator("#picture input[type=file]").set_input_files("assets/examples/cows.jpg")
    expect(page.locator("#picture img")).to_be_visible()
    page.locator("#copy-link").click()
    expect(page.locator("#copy-link")).to_have_text("A link cannot hold your own picture: send its download")


def test_back_leads_to_the_result_before_and_words_too_long_for_a_link_are_said(open_page, server):
    page = open_page(1280)
    page.goto(f"{server.address}/?example=shepherd&words=dog%3B+road")
    expect_result_of(page, "dog; road")
    words = page.locator("#words textarea")
    for typed in ("dog; grass", "; ".join(["dog", *(f"word {i}" for i in range(300))])):
        words.fill(typed)
        words.press("Enter")
        expect_result_of(page, typed)
    page.wait_for_function("!location.search.includes('words=')")
    page.locator("#copy-link").click()
    expect(page.locator("#copy-link")).to_have_text("These words are too long for a link")
    page.reload()  # the browser stores words that are too long for the address
    expect_result_of(page, typed)
    page.go_back()
    expect_result_of(page, "dog; grass")
    page.go_back()
    expect_result_of(page, "dog; road")


def test_a_reload_keeps_eps_and_min_samples_and_the_box_says_what_the_result_has(open_page, server):
    page = open_page(1280)
    page.goto(
        f"{server.address}/?example=shepherd&words={quote('dog; grass')}&automatic=false&eps=0.3&min_samples=2&vote=no"
    )
    expect_result_of(page, "dog; grass")
    shown = page.locator("#status").inner_text().split(".")[0]
    page.reload()
    expect_result_of(page, "dog; grass")
    expect(page.locator("#status")).to_contain_text(shown)
    page.get_by_role("tab", name="Clusters").click()
    eps = page.locator("#eps input[type=number]")
    expect(eps).to_have_value("0.3")
    expect(eps).to_be_enabled()
    page.get_by_role("tab", name="Settings").click()
    expect(page.get_by_role("radio", name="no", exact=True).first).to_be_checked()
    box = page.locator("#everything-else input")
    for words, one in (("plate; plate; plate;", True), ("\u76d8\u5b50\uff1b\u53c9\u5b50", False)):
        page.locator("#words textarea").fill(words)
        page.locator("#words textarea").press("Enter")
        expect_result_of(page, words)
        expect(box).to_be_checked(checked=one)


def test_a_size_that_a_paper_preset_cannot_have_is_left_out(open_page, server):
    page = open_page(1280)
    page.goto(f"{server.address}/?example=shepherd&words=dog%3B+grass&preset=paper-224&short_side=448")
    expect_result_of(page, "dog; grass")
    page.get_by_role("tab", name="Settings").click()
    expect(page.get_by_label("Short side in pixels")).to_be_disabled()


def test_a_link_restores_patch_layer_head_and_the_affinity(open_page, server):
    page = open_page(1280)
    page.goto(f"{server.address}/?example=shepherd&words=dog%3B+grass&patch=3,4&layer=6&head=2&after=affinity")
    for _ in range(2):  # a reload restores them again
        expect(page.locator(".lens")).to_have_attribute("data-shown", re.compile(" 6 2$"), timeout=PATIENCE)
        assert place(page)[:2] == (3, 4)
        expect(page.locator(".lens-layer")).to_have_text("Layer 6 of 12")
        expect(page.locator(".lens-head")).to_have_value("2")
        expect(page.locator(".lens-kind")).to_have_value("affinity")
        expect(page.locator("#lens figure:has([data-view=after]) .lens-title")).to_have_text("2 Affinity")
        page.wait_for_function(HELD, arg={"patch": "3,4", "layer": "6", "head": "2", "after": "affinity"})
        page.reload()
    expect(page.locator(".lens")).to_have_attribute("data-shown", re.compile(" 6 2$"), timeout=PATIENCE)
    page.locator(".lens-kind").select_option(label="recovered")
    page.locator(".lens-head").select_option("")
    expect(page.locator(".lens")).to_have_attribute("data-shown", re.compile(" 6 mean$"), timeout=PATIENCE)
    page.wait_for_function("location.search.includes('layer=6') && !/head|after/.test(location.search)")


@pytest.mark.parametrize(
    "asked",
    [
        "patch=999,999&layer=99&head=99&after=recovered",
        "patch=1.5,2&layer=6.5&head=1e0&after=<img src=x onerror=alert(1)>",
        "patch=-1,0&layer=-1&head=-1&after=",
        "patch=a&layer=0&head=0&after=__proto__",
    ],
)
def test_a_link_to_what_is_not_there_opens_the_usual_lens(open_page, server, asked):
    page = open_page(1280)
    page.goto(f"{server.address}/?example=shepherd&words=dog%3B+grass")
    expect(page.locator(".lens")).to_have_attribute("data-shown", re.compile(" 11 mean$"), timeout=PATIENCE)
    expect_result_of(page, "dog; grass")
    usual, cross = place(page), page.locator("#result .cross").get_attribute("style")
    page.goto(f"{server.address}/?example=shepherd&words=dog%3B+grass&{quote(asked, safe='=&,')}")
    expect(page.locator(".lens")).to_have_attribute("data-shown", re.compile(" 11 mean$"), timeout=PATIENCE)
    expect_result_of(page, "dog; grass")
    expect(page.locator("#result .cross")).to_have_attribute("style", cross)
    assert place(page) == usual
    expect(page.locator(".lens-kind")).to_have_value("after")
    page.wait_for_function("!/patch|layer|head|after/.test(location.search)")
    expect(page.locator(".lens-busy")).to_have_count(0)
    expect(page.locator("#toast, .toast-body.error")).to_have_count(0)
