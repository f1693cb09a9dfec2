"""HTML about words: suggestions for a new picture; what it may lack, what others hide, and possible improvements."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence

from demo import core
from demo.html import strip

MOST_HIDDEN = 3
"""Limit of classes without a pixel that have buttons; with more, the words are a list of which most are absent."""
MOST_MISSING = 8
"""Maximum number of missing classes to name; the others are only counted."""
MOST_FINDINGS = 3
"""Most findings about words that are shown at once; the others open with a click."""
CORRECT = "Correct the spelling"
USE = "Use these words"


def suggestions(words: Sequence[str]) -> str:
    """Return HTML: words that may fit a new picture, with a button that segments it by them; empty without words."""
    if not words:
        return ""
    use = f'<button type="button" class="correct" data-words="{html.escape("; ".join(words))}">{USE}</button>'
    return strip("calm", "Perhaps in it:", f"{', '.join(words)}.", use)


def hidden(classes: Mapping[str, str]) -> str:
    """Return HTML: classes that other classes leave no pixel, each with a button that asks for it alone.

    Args:
        classes: words that make each of these classes alone, by its name.
    """
    if not 0 < len(classes) <= MOST_HIDDEN:
        return ""
    buttons = "".join(
        f'<button type="button" class="correct" data-alone="{html.escape(words)}">{html.escape(name)}</button>'
        for name, words in classes.items()
    )
    text = "Other classes fit better, or have the vote of their region. Look for one alone, if it is in the picture:"
    return strip("note", "No pixel left for these words.", text, buttons)


def absent(missing: Sequence[str], *, everything_else: bool) -> str:
    """Return HTML: classes that the picture probably does not show; empty if there are none.

    Args:
        missing: names of these classes.
        everything_else: True if the result has a class for everything else.
    """
    if not missing:
        return ""
    names = core.errors.some([f'"{name}"' for name in missing], MOST_MISSING)
    advice = (
        "" if everything_else else f' Tick "{core.results.EVERYTHING_ELSE}": it takes areas that resemble no class.'
    )
    return strip("note", "Probably not in this picture", f"or not known to this model: {names}.{advice}")


def findings(texts: Sequence[str], corrections: Mapping[str, str]) -> str:
    """Return an HTML list of possible improvements of the words; empty without findings.

    Args:
        texts: sentences.
        corrections: likely correct spelling of each misspelt word, for a button that corrects them all.
    """
    if not texts:
        return ""
    items = [f"<li><bdi>{html.escape(text)}</bdi></li>" for text in texts]
    first, rest = "".join(items[:MOST_FINDINGS]), items[MOST_FINDINGS:]
    more = f"<details><summary>{len(rest)} more</summary><ul>{''.join(rest)}</ul></details>" if rest else ""
    pairs = html.escape(json.dumps(list(corrections.items())))
    mend = f'<button type="button" class="correct" data-pairs="{pairs}">{CORRECT}</button>' if corrections else ""
    return strip("note", "About your words", "", f"<ul>{first}</ul>{more}{mend}")
