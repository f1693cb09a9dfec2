"""Shared steps of the browser tests: upload, segment, click a patch."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install -e '.[dev]'")
from playwright.sync_api import expect

from demo.examples import FIRST, read_examples

WORDS = "dog; grass; bushes; sky"
FIRST_WORDS = next(example.words for example in read_examples() if example.name == FIRST)
"""Words of the example shown when a page opens."""
PATIENCE = 60_000
TOO_SMALL = """() => [...document.querySelectorAll("button, select, input, [role=tab]")].filter(one => {
  const box = one.getBoundingClientRect(), holder = one.closest("label, .wrap-inner, .wrap");
  const around = holder?.getBoundingClientRect() ?? box;
  const shown = box.width > 1 && getComputedStyle(one).visibility !== "hidden" && !one.disabled;
  return shown && (Math.max(box.height, around.height) < 43.5 || Math.max(box.width, around.width) < 43.5);
}).map(one => one.outerHTML.slice(0, 160))"""
"""Script that returns the controls on the page that are smaller than a finger."""


def upload(page, path: Path) -> None:
    page.locator("#picture input[type=file]").set_input_files(path)


def segment(page, path: Path, words: str = WORDS) -> None:
    page.wait_for_function("document.body.classList.contains('opened')", timeout=PATIENCE)  # the page's first result
    # A new picture stops running work, a few milliseconds after it appears. If a script presses Segment in between,
    # that run is stopped too. The page requests `forget` after the stop, so wait for that request.
    forget = page.evaluate("gradio_config.dependencies.find(d => d.api_name === 'forget').id")
    with page.expect_request(lambda request: function_asked(request) == forget):
        upload(page, path)
    expect(page.locator("#picture img")).to_be_visible()
    ask(page, words)


def ask(page, words: str) -> None:
    """Type words for the picture on the page, segment, and wait for the result."""
    page.locator("#words textarea").fill(words)
    page.locator("#segment").click()
    expect_result_of(page, words)


def expect_result_of(page, words: str) -> None:
    """Wait until the result of `words` is drawn; a page that opens first draws the result of `FIRST_WORDS`."""
    drawn = "words => document.querySelector('#result .stage')?.dataset.words === words"
    page.wait_for_function(drawn, arg=words, timeout=PATIENCE)
    expect(page.locator("#legend tbody tr").first).to_be_visible()


def open_example(page, number: int) -> None:
    """Click an example of the strip and wait for its result."""
    # A page that is loaded again opens with the example in its address, not with the first.
    page.wait_for_function("document.body.classList.contains('opened')", timeout=PATIENCE)
    expect_result_of(page, page.locator("#words textarea").input_value())
    example = read_examples()[number]
    page.locator("#examples button").nth(number).click()
    expect(page.locator("#words textarea")).to_have_value(example.words)
    expect_result_of(page, example.words)


def function_asked(request) -> int | None:
    """Return the index of the function that a request calls, or None."""
    return request.post_data_json["fn_index"] if "/queue/join?" in request.url else None


def click_patch(page, row: int, column: int, grid: tuple[int, int]) -> None:
    page.get_by_role("tab", name="Attention").click()
    image = page.locator("#patches img")
    expect(image).to_be_visible()
    box = image.bounding_box()
    # The picture is shown whole and centred in its box (object-fit: scale-down).
    natural = image.evaluate("i => [i.naturalWidth, i.naturalHeight]")
    scale = min(box["width"] / natural[0], box["height"] / natural[1], 1)
    left = (box["width"] - natural[0] * scale) / 2 + (column + 0.5) * natural[0] * scale / grid[1]
    top = (box["height"] - natural[1] * scale) / 2 + (row + 0.5) * natural[1] * scale / grid[0]
    image.click(position={"x": left, "y": top})


def grid_of(page) -> tuple[int, int]:
    h, w = re.search(r"of (\d+) \S (\d+) patches", page.locator("#costs").inner_text()).groups()
    return int(h), int(w)


def place(page) -> tuple[int, ...]:
    """Return (row, column, h, w) of the patch that the lens shows, read from the caption of the picture."""
    text = page.locator("[data-view=picture] + figcaption").inner_text()
    return tuple(map(int, re.search(r"row (\d+), column (\d+) of (\d+) . (\d+)", text).groups()))


def move_over(page, box, step: int) -> None:
    """Move the pointer to a place in a box that differs for each step."""
    x, y = 4 + step * 37 % int(box["width"] - 8), 4 + step * 11 % int(box["height"] - 8)
    page.mouse.move(box["x"] + x, box["y"] + y)


def expect_no_sideways_scroll(page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]


HIDDEN_ROWS = """(table, rows) => {
  const body = table.querySelector("tbody");
  while (body.rows.length < rows) body.append(body.lastElementChild.cloneNode(true));
  while (body.rows.length > rows) body.lastElementChild.remove();
  return table.scrollHeight - table.clientHeight;
}"""


def expect_rows_shown(page, selector: str, rows: int = 12) -> None:
    """Give each visible table this many rows, and expect that none of them has to be scrolled to."""
    tables = page.locator(f"{selector}:visible").all()
    assert tables
    for table in tables:
        assert table.evaluate(HIDDEN_ROWS, rows) <= 1
