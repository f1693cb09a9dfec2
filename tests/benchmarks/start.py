"""`python -m tests.benchmarks.start`: seconds from `python app.py` to its first result, in a running browser."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from statistics import median

from playwright.sync_api import Browser, sync_playwright

from tests.e2e.conftest import BROWSER_ARGUMENTS, find_chromium
from tests.server import serving

ROUNDS = 5
SHOWN = "document.querySelector('#result .stage')?.dataset.words"


def first_result(browser: Browser) -> float:
    """Return the seconds until the first example's result is drawn."""
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as server:
        opened = time.perf_counter()
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(server.address, wait_until="commit")
        page.wait_for_function(SHOWN, timeout=120_000, polling=20)
        painted = server.ready_after + time.perf_counter() - opened
        page.close()
        return painted


def main() -> None:
    """Print the median and the longest time."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=BROWSER_ARGUMENTS)
        times = [first_result(browser) for _ in range(ROUNDS)]
    print(f"first result, offline (<= 10 s): {median(times):.1f} s, worst {max(times):.1f} s")


if __name__ == "__main__":
    main()
