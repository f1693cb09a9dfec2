"""Pieces of HTML and of plain text that every tab uses. Whatever a person typed is escaped by these. No Gradio."""

from __future__ import annotations

import html
from collections.abc import Sequence


def strip(kind: str, title: str, text: str) -> str:
    """A line that stands out.

    Args:
        kind: "calm", "busy", "note" or "bad".
        title: plain text, in bold.
        text: plain text.
    """
    return f'<div class="strip {kind}" role="status"><b>{html.escape(title)}</b> {html.escape(text)}</div>'


def working(title: str, share: float, text: str, label: str = "") -> str:
    """A line on work that goes on, with a bar.

    Args:
        title: plain text, in bold.
        share: of the work that is done, 0 to 1.
        text: plain text.
        label: of the bar, plain text; empty takes the title.
    """
    named = html.escape(label or title)
    return (
        f'<div class="strip busy" role="status"><b>{html.escape(title)}</b> {html.escape(text)}'
        f'<progress class="wide" max="1" value="{share:.3f}" aria-label="{named}"></progress></div>'
    )


def hint(text: str) -> str:
    """A paragraph in small grey letters; `text` is plain."""
    return f'<p class="hint">{html.escape(text)}</p>'


def caption(text: str) -> str:
    """A line above a picture; `text` is plain."""
    return f'<p class="caption">{html.escape(text)}</p>'


def sheet(rows: Sequence[tuple[str, str]]) -> str:
    """Pairs of a name and a value, one below the other; both are plain."""
    pairs = "".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd>" for name, value in rows)
    return f'<dl class="sheet">{pairs}</dl>'


def word(text: str) -> str:
    """What a person typed, kept from turning the text around it (right-to-left scripts)."""
    return f"<bdi>{html.escape(text)}</bdi>"


def swatch(colour: str) -> str:
    """A small square; `colour` as CSS writes it."""
    return f'<span class="swatch" style="background:{colour}"></span>'


def sort_head(name: str, kind: str, *, falling: bool) -> str:
    """Head of a table's column; it is a button that sorts.

    Args:
        name: of the column, plain text.
        kind: "text" or "number".
        falling: whether the table comes sorted by this column, largest first.
    """
    return (
        f'<th scope="col" aria-sort="{"descending" if falling else "none"}">'
        f'<button type="button" class="sort" data-kind="{kind}">{html.escape(name)}</button></th>'
    )


def percent(share: float, digits: int = 1) -> str:
    """A share of 1, for people: with a space at which no line breaks, as the browser's own sentences have it."""
    if digits and 0 < share < 0.001:
        return "&lt; 0.1\u00a0%"
    return f"{100 * share:.{digits}f}\u00a0%"


def seconds(duration: float) -> str:
    """A duration in seconds, for people; no line breaks before its unit."""
    return f"{duration:.2f}\u00a0s" if duration >= 0.1 else f"{duration * 1000:.0f}\u00a0ms"


def some(names: list[str], limit: int) -> str:
    """The first names, and how many more there are; plain text."""
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")
