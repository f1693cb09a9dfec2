"""What the page's address holds, so that a reload, a bookmark or a link brings back what was asked."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from cliptrase_core.options import LayoutOptions, Option, SegmentOptions, options_of
from demo.handlers.common import AUTO, BACKGROUNDS
from demo.settings import DENOISE, METHODS, PRESETS, SHORT_SIDES

MOST_WORDS = 4_000
"""Characters of words that an address may carry."""

Read = Callable[[str], Any]


def _choice(*known: str) -> Read:
    return lambda text: text if text in known else None


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _yes(text: str) -> bool | None:
    return {"true": True, "false": False}.get(text)


PLAIN: dict[str, str] = {
    "background": BACKGROUNDS[0],
    "background_words": "",
    "threshold": "0.3",
    "method": METHODS[0],
    "preset": PRESETS[0],
    "short_side": AUTO,
    "templates": AUTO,
    "image_prior": "false",
    "everything_else": "false",
    "skip_missing": "false",
    "denoise": DENOISE[0],
    "automatic": "true",
}
"""Settings by the names of their components, in the order of `Page.remembered`, with what no address says."""


def _reader(one: Option) -> Read:
    if one.kind is bool:
        return _yes
    return _choice(*([AUTO] if one.unset else []), *one.choices) if one.choices else _number


_READ: dict[str, Read] = {
    **{one.name: _reader(one) for one in (*options_of(LayoutOptions), *options_of(SegmentOptions))},
    "background": _choice(*BACKGROUNDS),
    "background_words": lambda text: text[:MOST_WORDS],
    "short_side": _choice(AUTO, *map(str, SHORT_SIDES)),
    "automatic": _yes,
}


def settings_of(query: Mapping[str, str]) -> dict[str, Any]:
    """Settings that an address names and that may be so; anything else in it is left out."""
    found = {name: _READ[name](query[name]) for name in PLAIN if name in query}
    return {name: value for name, value in found.items() if value is not None}
