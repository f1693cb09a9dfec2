"""HTML and plain text that every tab uses. These functions escape everything that a user typed. No Gradio."""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Iterable, Sequence


def strip(kind: str, title: str, text: str, below: str = "") -> str:
    """Return a highlighted line.

    Args:
        kind: "calm", "busy", "note" or "bad".
        title: plain text, in bold.
        text: plain text.
        below: HTML behind the text.
    """
    return f'<div class="strip {kind}" role="status"><b>{html.escape(title)}</b> {html.escape(text)}{below}</div>'


def working(title: str, share: float, text: str, label: str = "") -> str:
    """Return a line about work in progress, with a progress bar.

    Args:
        title: plain text, in bold.
        share: completed share of the work, 0 to 1.
        text: plain text.
        label: label of the bar, plain text; the title if empty.
    """
    named = html.escape(label or title)
    bar = f'<progress class="wide" max="1" value="{share:.3f}" aria-label="{named}"></progress>'
    return strip("busy", title, text, bar)


def hint(text: str) -> str:
    """Return a paragraph in small grey letters; `text` is plain text."""
    return f'<p class="hint">{html.escape(text)}</p>'


def caption(text: str) -> str:
    """Return a heading above a picture; `text` is plain text."""
    return f'<h2 class="caption">{html.escape(text)}</h2>'


def sheet(rows: Sequence[tuple[str, str]]) -> str:
    """Return a list of pairs of a name and a value, one below the other; both are plain text."""
    pairs = "".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd>" for name, value in rows)
    return f'<dl class="sheet">{pairs}</dl>'


COLOUR_HEAD = '<th scope="col"><span class="unseen">Colour</span></th>'
"""Head of a column of swatches, for screen readers."""


def column_head(name: str) -> str:
    """Return the head of a table's column; `name` is plain text."""
    return f'<th scope="col">{html.escape(name)}</th>'


def table(heads: Iterable[str], rows: str, kind: str = "") -> str:
    """Return a table; heads and rows are HTML, `kind` is a CSS class."""
    with_kind = f' class="{kind}"' if kind else ""
    return f"<table{with_kind}><thead><tr>{''.join(heads)}</tr></thead><tbody>{rows}</tbody></table>"


def scrolling_table(heads: Iterable[str], rows: str, kind: str = "") -> str:
    """Return a table that scrolls if it is long; heads and rows are HTML, `kind` is a CSS class."""
    return f'<div class="{f"legend {kind}".strip()}">{table(heads, rows)}</div>'


def word(text: str) -> str:
    """Return text of the user, isolated so that right-to-left scripts do not reorder the text around it."""
    return f"<bdi>{html.escape(text)}</bdi>"


def swatch(colour: str) -> str:
    """Return a small coloured square; `colour` in CSS notation."""
    return f'<span class="swatch" style="background:{colour}"></span>'


def sort_head(name: str, kind: str, *, falling: bool = False, about: str = "") -> str:
    """Return the head of a table's column, a button that sorts the table.

    Args:
        name: name of the column, plain text.
        kind: "text" or "number".
        falling: True if the table is sorted by this column at first, largest value on top.
        about: explanation of the column, plain text for people who point at its head.
    """
    return (
        f'<th scope="col" aria-sort="{"descending" if falling else "none"}">'
        f'<button type="button" class="sort" data-kind="{kind}" title="{html.escape(about, quote=True)}">'
        f"{html.escape(name)}</button></th>"
    )


def percent(share: float, digits: int = 1) -> str:
    """Return a share of 1 as a percentage with a no-break space, as HTML; the browser's code has the same format."""
    if digits and 0 < share < 0.001:
        return "&lt; 0.1\u00a0%"
    return f"{100 * share:.{digits}f}\u00a0%"


def isolated(name: str) -> str:
    """Return a name for plain text beside numbers: within Unicode's isolates, if it is written from right to left."""
    return f"\u2068{name}\u2069" if any(unicodedata.bidirectional(sign) in ("R", "AL") for sign in name) else name


def whole_percent(share: float) -> str:
    """Return a share of 1 in whole per cent; plain text, and never 0 for what is there."""
    return f"{100 * share:.0f}\u00a0%" if not 0 < share < 0.005 else "< 1\u00a0%"


def seconds(duration: float) -> str:
    """Return a duration in seconds as text, with a no-break space before the unit."""
    return f"{duration:.2f}\u00a0s" if duration >= 0.1 else f"{duration * 1000:.0f}\u00a0ms"
