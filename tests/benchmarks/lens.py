"""`python -m tests.benchmarks.lens`: time that a browser needs for one pointer move over the lens; needs Chromium.

Measured from the start of a drawing to the end of the layout that it causes. Reports the median and the maximum.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from playwright.sync_api import expect, sync_playwright

from tests.e2e.conftest import BROWSER_ARGUMENTS, find_chromium
from tests.e2e.steps import move_over, place
from tests.server import serving

SIDES = (0, 384)
"""Short sides of the model input in pixels; 0 is the model's own."""
MOVES = 120
TIME_DRAWINGS = """() => {
  const original = requestAnimationFrame;
  window.costs = [];
  window.requestAnimationFrame = work => original(now => {
    const start = performance.now();
    work(now);
    document.documentElement.scrollWidth;  // style and layout count too
    if (work.name === "drawLens") window.costs.push(performance.now() - start);
  });
}"""


def costs(page: Any, side: int) -> tuple[int, list[float]]:
    """Return the number of patches of the lens, and the duration of each drawing in milliseconds."""
    page.locator("#side input").fill(str(side))
    page.locator("#go").click()
    expect(page.locator(".lens-ready")).to_be_visible(timeout=60_000)
    pane = page.locator("#lens [data-view=before]")
    box, (_, _, h, w) = pane.bounding_box(), place(page)
    page.evaluate(TIME_DRAWINGS)
    for step in range(MOVES):
        move_over(page, box, step)
        if step % 2:  # every second move has a frame of its own
            page.evaluate("new Promise(requestAnimationFrame)")
    return h * w, page.evaluate("window.costs")


def rows() -> Iterator[str]:
    """Yield a line of the table for each size."""
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(Path(folder), ("tests/e2e/lens_page.py",)) as server,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=BROWSER_ARGUMENTS)
        for side in SIDES:
            page = browser.new_page()
            page.goto(server.address)
            patches, times = costs(page, side)
            yield f"| {patches} patches, {len(times)} drawings | {median(times):.2f} ms | {max(times):.2f} ms |"
        browser.close()


def main() -> None:
    """Print the table."""
    if find_chromium() is None:
        raise SystemExit("expected Chromium, found none: apt-get install chromium, or playwright install chromium")
    print("| a move of the lens, target 4 ms | median | worst |\n|---|---|---|")
    for row in rows():
        print(row, flush=True)


if __name__ == "__main__":
    main()
