"""Results side by side, in words, tables and plain JSON. Whatever a person typed is escaped here. Imports no Gradio."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

from demo.presenters.common import describe_model, hint, percent, seconds, strip, swatch, word
from demo.service import SegmentView
from demo.service.compare import Variant, cost
from demo.service.differences import Difference, fold
from demo.service.ground_truth import Score, Truth

MOST_ROWS = 60
MOST_MOVES = 4
NOTES_SHOWN = 5
NONE = "\u2013"
"""A dash: there is no such number."""

START = hint(
    "The picture and words of your result, divided by each step from CLIP to CLIPtrase, then by every other method, "
    "in the same colours."
)
EMPTY = hint("Segment a picture, then press Compare.")
STOPPED = strip("note", "Stopped.", "What was made so far is kept; the next time goes on from there.")
TRUTH_TEXT = hint(
    "A palette or grey PNG in the picture's size. Each pixel holds the number of its class: 0 for the first of your "
    "words, 1 for the second, and so on; 255 does not count."
)

Pair = tuple[Variant, SegmentView]


def progress(done: int, count: int, title: str) -> str:
    """HTML: how far a comparison has come."""
    return (
        f'<div class="strip busy" role="status"><b>Comparing</b> {done + 1} of {count}: {html.escape(title)}'
        f'<progress class="wide" max="{count}" value="{done}" aria-label="comparing"></progress></div>'
    )


def news(pairs: Sequence[Pair]) -> str:
    """HTML: what was computed and what was reused."""
    kept = sum(cut.kept for _, cut in pairs)
    spent = sum(cost(cut) for _, cut in pairs if not cut.kept)
    made = len(pairs) - kept
    parts = ["The picture was <b>not encoded again</b>"]
    if kept:
        parts.append(f"{kept} of {len(pairs)} results <b>reused</b>")
    if made:
        parts.append(f"{made} made in {seconds(spent)}")
    took = ", ".join(f"{html.escape(variant.title)} {seconds(cost(cut))}" for variant, cut in pairs)
    notes = dict.fromkeys(note for _, cut in pairs for note in cut.result.notes)
    each = f"<details><summary>What each took</summary>{took}</details>"
    return f'<div class="facts">{" · ".join(parts)}{each}</div>' + "".join(map(hint, list(notes)[:NOTES_SHOWN]))


def changed_share(before: Variant, after: Variant, found: Difference) -> str:
    """HTML: how much differs, and which classes became which."""
    head = f"<b>{percent(found.share)}</b> of the pixels have another name"
    if before.name == after.name:
        head += ": it is the same result. Choose two different ones"
    moves = "; ".join(
        f"{word(first)} → {word(second)} {percent(share)}" for first, second, share in found.moves[:MOST_MOVES]
    )
    return f'<p class="facts">{head}{"<br>Most of it: " + moves if moves else ""}</p>'


def area_table(found: Difference, colours: Mapping[str, str]) -> str:
    """HTML table: each class's share in both results and what it gained, largest change first.

    Args:
        found: what differs.
        colours: "#rrggbb" by folded name.
    """
    rows = "".join(
        f'<tr><td>{swatch(colours[fold(one.name)])}</td><th scope="row">{word(one.name)}</th>'
        f"<td>{_share(one.before)}</td><td>{_share(one.after)}</td><td>{_signed(one.delta)}</td></tr>"
        for one in found.classes[:MOST_ROWS]
    )
    more = len(found.classes) - MOST_ROWS
    heads = ("Class", "Left", "Right", "Change")
    return _table(heads, rows) + (hint(f"And {more} more classes that changed less.") if more > 0 else "")


def scores(pairs: Sequence[tuple[Variant, Score]]) -> str:
    """HTML table: every result against the ground truth."""
    best = max((score.mean_iou for _, score in pairs if not math.isnan(score.mean_iou)), default=math.nan)
    rows = "".join(
        f'<tr><td></td><th scope="row">{html.escape(one.title)}</th>'
        f"<td>{_bold(_score(score.mean_iou), score.mean_iou == best)}</td><td>{_score(score.accuracy)}</td></tr>"
        for one, score in pairs
    )
    return _table(("Result", "Mean IoU", "Pixel accuracy"), rows)


def class_scores(truth: Truth, before: Score, after: Score, colours: Mapping[str, str]) -> str:
    """HTML table: IoU of each class in two results; classes in neither are left out."""
    rows = [
        f'<tr><td>{swatch(colours[fold(name)])}</td><th scope="row">{word(name)}</th><td>{_score(first)}</td>'
        f"<td>{_score(second)}</td></tr>"
        for name, first, second in zip(truth.names, before.iou, after.iou, strict=True)
        if not (math.isnan(first) and math.isnan(second))
    ]
    heads = ("IoU of each class", "Left", "Right")
    more = len(rows) - MOST_ROWS
    table = _table(heads, "".join(rows[:MOST_ROWS]))
    return (
        table
        + hint("IoU: overlap of found and true area, from 0 to 100%.")
        + (hint(f"And {more} more classes.") if more > 0 else "")
    )


def slider_text(before: Variant, after: Variant) -> str:
    """HTML: a line above the slider."""
    return f'<p class="caption">Left: {html.escape(before.title)} · right: {html.escape(after.title)}</p>'


def errors_text(after: Variant) -> str:
    """HTML: a line above the map of errors."""
    return f'<p class="caption">Errors of {html.escape(after.title)}: wrong in yellow, not counted in black</p>'


def describe_comparison(first: SegmentView, compared: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """A comparison as plain JSON.

    Args:
        first: result to which all are compared.
        compared: of `describe_compared`, for each of them.
    """
    return {
        **describe_model(first.run.seen),
        "size": list(first.result.size),
        "grid": list(first.result.grid),
        "compared": list(compared),
    }


def describe_compared(variant: Variant, cut: SegmentView, found: Difference) -> Mapping[str, Any]:
    """One result of a comparison as plain JSON, and how it differs from the first."""
    return {
        "name": variant.name,
        "title": variant.title,
        "classes": [
            {
                "index": row.index,
                "name": row.name,
                "area": round(row.area, 6),
                "confidence": round(row.confidence, 4),
            }
            for row in cut.legend
        ],
        "changed": round(found.share, 6),
        "class_changes": {one.name: round(one.delta, 6) for one in found.classes},
        "settings": dict(cut.result.settings),
        "timings": {stage: round(float(took), 6) for stage, took in cut.result.timings.items()},
        "reused": cut.kept,
        "notes": list(cut.result.notes),
    }


def _table(heads: Sequence[str], rows: str) -> str:
    cells = "".join(f'<th scope="col">{html.escape(head)}</th>' for head in heads)
    return (
        '<div class="legend compared"><table><thead><tr><th scope="col"><span class="unseen">Colour</span></th>'
        f"{cells}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _share(value: float | None) -> str:
    return NONE if value is None else percent(value)


def _signed(value: float) -> str:
    shown = round(value, 3)  # what the table shows decides the sign: no "-0.0%"
    sign = "+" if shown > 0 else "\u2212" if shown < 0 else ""
    return sign + percent(abs(shown))


def _score(value: float) -> str:
    return NONE if math.isnan(value) else f"{value:.1%}"


def _bold(text: str, yes: bool) -> str:
    return f"<b>{text}</b>" if yes else text
