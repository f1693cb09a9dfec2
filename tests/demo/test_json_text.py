"""Nesting and number of values of a JSON text, compared with a plain scan."""

from __future__ import annotations

import json
import random
import re

import pytest

from demo import json_text
from demo.json_text import has_more_values, is_nested_deeper


def counted(text: str) -> tuple[int, int]:
    """Return nesting and number of values by reading one character after the other."""
    depth = most = values = 0
    for sign in re.sub(r'"(?:[^"\\]|\\.)*"', "", text):
        depth += (sign in "[{") - (sign in "]}")
        most, values = max(most, depth), values + (sign in "[{,")
    return most, values


def anything(source: random.Random, depth: int) -> object:
    kind = source.random()
    if not depth or kind < 0.4:
        return "".join(source.choice('[]{},"\\ab') for _ in range(source.randrange(6)))
    some = [anything(source, depth - 1) for _ in range(source.randrange(4))]
    return some if kind < 0.7 else {str(anything(source, 0)): one for one in some}


@pytest.mark.parametrize("part", [1, 7, 1 << 20])
def test_both_equal_a_plain_scan_wherever_the_text_is_divided(monkeypatch, part):
    monkeypatch.setattr(json_text, "_PART", part)
    for seed in range(300):
        text = json.dumps(anything(random.Random(seed), 6))
        depth, values = counted(text)
        for more, least in ((is_nested_deeper, depth), (has_more_values, values)):
            assert [more(text.encode(), most) for most in (least - 1, least)] == [True, False], text
