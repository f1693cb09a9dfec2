"""Styles that Gradio rewrites before it inserts them into the page."""

from __future__ import annotations

import re

import pytest

from demo.static import static

OUTSIDE = re.compile(r"(?:^|[{},\s])((?:body|html|:root|gradio-app)\b[^{},]*)(?=[,{])")
"""Selector of an element around Gradio's container."""


def plain(name: str) -> str:
    """Return a file without its comments."""
    return re.sub(r"/\*.*?\*/", "", static(name), flags=re.DOTALL)


def queries(text: str) -> list[str]:
    """Return the rules within each media query."""
    found = []
    for start in re.finditer(r"@(?:media|container)[^{]*\{", text):
        depth, end = 1, start.end()
        while depth:
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        found.append(text[start.end() : end - 1])
    return found


@pytest.mark.parametrize("name", ["app.css", "phone.css"])
def test_no_rule_within_a_query_begins_outside_gradio_s_container(name):
    """Gradio writes its container before each selector of a query, so that such a rule never matches: frame.css."""
    assert queries(plain(name))
    assert [rule for query in queries(plain(name)) for rule in OUTSIDE.findall(query)] == []


@pytest.mark.parametrize("name", ["lens.css", "words.css"])
def test_no_rule_of_a_component_begins_outside_it(name):
    assert OUTSIDE.findall(plain(name)) == []
