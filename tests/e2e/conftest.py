"""Fixtures of the browser tests; the `server` fixture is in `tests/conftest.py`."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlparse

import pytest

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60_000
ARTIFACTS = ROOT / "artifacts"
BROWSER_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def find_chromium() -> str | None:
    """Return the path of Chromium: `CHROMIUM_EXECUTABLE`, the system's or Playwright's; None if there is none."""
    named = os.environ.get("CHROMIUM_EXECUTABLE")
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    found = named or next(filter(None, map(shutil.which, names)), None)
    if found:
        return found
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        brought = playwright.chromium.executable_path
    return brought if Path(brought).exists() else None


def _install_chromium() -> str | None:
    """Install Chromium with apt-get if the process is root, so without a prompt. Return its path, or None."""
    if not (shutil.which("apt-get") and hasattr(os, "geteuid") and os.geteuid() == 0):
        return None
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "check": False, "timeout": 280}
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        subprocess.run(["apt-get", "update", "-qq"], env=environment, **quiet)
        subprocess.run(["apt-get", "install", "-y", "-qq", "chromium"], env=environment, **quiet)
    except subprocess.TimeoutExpired:
        return None
    return find_chromium()


@pytest.fixture(scope="session")
def chromium():
    """A running browser."""
    api = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install -e '.[dev]'")
    executable = find_chromium() or _install_chromium()
    if executable is None:
        pytest.skip("needs Chromium: `apt-get install chromium`, or `playwright install chromium`")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=BROWSER_ARGUMENTS)
        api.expect.set_options(timeout=PATIENCE)  # the default, 5 s, is too short for a busy machine
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium, server):
    """Function that opens the page; requests to other hosts are blocked and listed in `page.strangers`.

    The test fails at its end if a script of the page raised an error.
    """
    contexts, errors = [], []

    def open_at(width: int, height: int = 900, **options):
        context = chromium.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        context.on("weberror", lambda found: errors.append(str(found.error)))
        page = context.new_page()
        page.strangers = []

        def only_here(route):
            url = route.request.url
            if urlparse(url).hostname in ("127.0.0.1", "localhost") or url.startswith(("data:", "blob:")):
                route.continue_()
            else:
                page.strangers.append(url)
                route.abort()

        context.route("**/*", only_here)
        page.set_default_timeout(PATIENCE)
        page.goto(server.address)
        return page

    yield open_at
    for context in contexts:
        context.close()
    assert errors == []


@pytest.fixture(scope="session")
def artifacts() -> Path:
    """Folder of the screenshots of a run."""
    ARTIFACTS.mkdir(exist_ok=True)
    return ARTIFACTS
