"""The button to delete one's pictures, in a real browser: picture, result and files go; the page still works."""

from __future__ import annotations

import pytest

pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install -e '.[dev]'")
from playwright.sync_api import expect

from demo.settings import EXAMPLES
from tests.e2e.steps import PATIENCE, segment

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("width", [1280, 375])
def test_my_pictures_go_when_i_say_so(open_page, server, tmp_path, width):
    mine = tmp_path / f"mine {width}.jpg"
    mine.write_bytes((EXAMPLES / "coffee.jpg").read_bytes() + str(width).encode())
    page = open_page(width)
    page.goto(server.address)
    expect(page.locator("#mine")).to_contain_text("deleted after 2 hours")
    segment(page, mine)
    expect(page.locator("#spot .now")).to_contain_text("This spot: ")
    assert any(path.name == mine.name for path in server.files())
    page.locator("#delete-mine").click()
    expect(page.locator("#mine")).to_contain_text("Deleted: ")
    expect(page.locator("#picture img")).to_have_count(0)
    expect(page.locator("#status")).to_contain_text("No picture")
    expect(page.locator("#result .names span")).to_have_count(0)
    expect(page.locator("#spot .now")).to_contain_text("Point at the picture")
    assert not any(path.name == mine.name for path in server.files())
    page.locator("#examples button").nth(2).click()
    expect(page.locator("#result .names span").first).to_be_visible()
    assert page.strangers == []


def test_what_was_uploaded_before_a_reload_goes_too(open_page, server, tmp_path):
    pictures = [tmp_path / f"before {number}.jpg" for number in (1, 2)]
    page = open_page(1280)
    for number, picture in enumerate(pictures):
        picture.write_bytes((EXAMPLES / "coffee.jpg").read_bytes() + str(number).encode())
        segment(page, picture)
        expect(page.locator("#spot .now")).to_contain_text("This spot: ")
    names = {picture.name for picture in pictures}
    assert names <= {path.name for path in server.files()}
    page.reload()
    expect(page.locator("#spot .now")).to_contain_text("This spot: ", timeout=PATIENCE)
    page.locator("#delete-mine").click()
    expect(page.locator("#mine")).to_contain_text("Deleted: ")
    assert not names & {path.name for path in server.files()}
