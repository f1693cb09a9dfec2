"""The report of an evaluation in a real browser: no scripts, no network requests, fits phone and desktop widths."""

from __future__ import annotations

import pytest

from cliptrase_core.evaluation.html_report import to_html
from tests.evaluation.test_html_report import HEADER, HOSTILE, matrices, report_of, shown_picture


@pytest.mark.parametrize("width", [375, 1200])
def test_a_report_of_hostile_names_opens_by_itself(chromium, tmp_path, width):
    names = [*HOSTILE, "word " * 30, "x" * 300]
    header = {**HEADER, "title": HOSTILE[0], "column": HOSTILE[1], "words": HOSTILE[2]}
    report = report_of(names, matrices(3, len(names)), header=header, keys=[*HOSTILE[3:5], "x" * 200])
    sheets = {"Best pictures": [shown_picture(HOSTILE[2], names), shown_picture("tall", names, (300, 60))]}
    file = tmp_path / "report.html"
    file.write_bytes(to_html(report, sheets))
    page, said, asked = chromium.new_page(viewport={"width": width, "height": 800}), [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    page.on("request", lambda request: asked.append(request.url.partition(":")[0]))
    page.goto(file.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("img").count() == 6
    assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
    assert page.evaluate("document.scripts.length + document.querySelectorAll('[onload], [onerror]').length") == 0
    assert set(asked) <= {"file", "data"}
    assert said == []
    page.close()
