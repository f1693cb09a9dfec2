"""HTML of the Compare tab: its facts, areas of classes, scores against a ground truth and its numbers. No Gradio."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence

from cliptrase_core.names import fold
from demo import core
from demo.html import COLOUR_HEAD, column_head, hint, percent, scrolling_table, seconds, strip, swatch, word, working
from demo.service.compare import Difference, Variant, cost
from demo.service.ground_truth import NUMBERS_FROM_ONE, GroundTruth, Score
from demo.service.segmentation import SegmentView

MOST_MOVES = 4
NOTES_SHOWN = 5
MOST_NAMES = 24
"""Maximum number of classes whose colours are named above the pictures."""
MOST_ROWS = 60
MOST_NUMBERS = 12
NONE = "\u2013"
"""Dash shown for a missing number."""
TRUTH_SHOWN = '<p class="caption">Ground truth in the colours of your classes, not counted in black</p>'
GOOD = 0.5
"""IoU from which a class matches, and mean IoU from which the numbers of a ground truth are not questioned."""
BETTER = 0.2
"""Gain in mean IoU from which another reading of the numbers is worth a hint."""


def progress(done: int, count: int, title: str) -> str:
    """Return HTML: progress of a comparison."""
    return working("Comparing", done / count, f"{done + 1} of {count}: {title}", "comparing")


def news(pairs: Sequence[tuple[Variant, SegmentView]], colours: Mapping[str, str]) -> str:
    """Return HTML: numbers of computed and cached results, their durations, and the colours of the classes.

    Args:
        pairs: results.
        colours: "#rrggbb" by folded name.
    """
    cached = sum(view.result_cached for _, view in pairs)
    spent = sum(cost(view) for _, view in pairs if not view.result_cached)
    made = len(pairs) - cached
    parts = ["The picture was <b>not encoded again</b>"]
    if cached:
        parts.append(f"{cached} of {len(pairs)} results <b>reused</b>")
    if made:
        parts.append(f"{made} made in {seconds(spent)}")
    took = ", ".join(f"{html.escape(variant.title)} {seconds(cost(view))}" for variant, view in pairs)
    notes = dict.fromkeys(note for _, view in pairs for note in view.result.notes)
    each = f"<details><summary>What each took</summary>{took}</details>"
    told = f'<div class="facts" role="status">{" · ".join(parts)}{each}</div>'
    return told + "".join(map(hint, list(notes)[:NOTES_SHOWN])) + _key(pairs, colours)


def _key(pairs: Sequence[tuple[Variant, SegmentView]], colours: Mapping[str, str]) -> str:
    """Return HTML: colour and name of the classes in these results, as they come."""
    names = list({fold(row.name): row.name for _, view in pairs for row in view.legend}.values())
    items = [f"<span>{swatch(colours[fold(name)])} {word(name)}</span>" for name in names[:MOST_NAMES]]
    more = [f"<span>and {len(names) - MOST_NAMES} more</span>"] if len(names) > MOST_NAMES else []
    return f'<div class="facts key">{"".join(items + more)}</div>'


def changed_share(before: Variant, after: Variant, found: Difference) -> str:
    """Return HTML: share of changed pixels, and the most frequent changes from class to class."""
    head = f"<b>{percent(found.share)}</b> of the pixels have another name"
    if before.name == after.name:
        head += ": it is the same result. Choose two different ones"
    moves = "; ".join(
        f"{word(first)} → {word(second)} {percent(share)}" for first, second, share in found.moves[:MOST_MOVES]
    )
    return f'<p class="facts">{head}{"<br>Most of it: " + moves if moves else ""}</p>'


def slider_text(before: Variant, after: Variant) -> str:
    """Return HTML: caption of the slider."""
    return f'<p class="caption">Left: {html.escape(before.title)} · right: {html.escape(after.title)}</p>'


def area_table(found: Difference, colours: Mapping[str, str]) -> str:
    """Return an HTML table: area of each class in both results and its change, largest change first.

    Args:
        found: difference of the two results.
        colours: "#rrggbb" by folded name.
    """
    rows = "".join(
        f'<tr><td>{swatch(colours[fold(one.name)])}</td><th scope="row">{word(one.name)}</th>'
        f"<td>{_share(one.before)}</td><td>{_share(one.after)}</td><td>{_signed(one.before, one.after)}</td></tr>"
        for one in found.classes[:MOST_ROWS]
    )
    more = len(found.classes) - MOST_ROWS
    heads = [COLOUR_HEAD, *map(column_head, ("Class", "Left", "Right", "Change in points"))]
    note = hint(f"And {more} more classes that changed less.") if more > 0 else ""
    return scrolling_table(heads, rows, "compared") + note


def scores(pairs: Sequence[tuple[str, Score]]) -> str:
    """Return an HTML table: title and scores of every result against the ground truth."""
    best = max((score.mean_iou for _, score in pairs if not math.isnan(score.mean_iou)), default=math.nan)
    rows = "".join(
        f'<tr><td></td><th scope="row">{html.escape(title)}</th>'
        f"<td>{_bold(_score(score.mean_iou), score.mean_iou == best)}</td><td>{_score(score.accuracy)}</td></tr>"
        for title, score in pairs
    )
    strange = [hint(f"{title}: no class has a name of the ground truth.") for title, score in pairs if score.strange]
    heads = [COLOUR_HEAD, *map(column_head, ("Result", "Mean IoU", "Pixel accuracy"))]
    return scrolling_table(heads, rows, "compared") + "".join(strange)


def class_scores(ground_truth: GroundTruth, before: Score, after: Score, colours: Mapping[str, str]) -> str:
    """Return an HTML table: IoU of each class in two results; classes with no IoU in either result are left out."""
    rows = [
        f'<tr><td>{swatch(colours[fold(name)])}</td><th scope="row">{word(name)}</th><td>{_score(first)}</td>'
        f"<td>{_score(second)}</td></tr>"
        for name, first, second in zip(ground_truth.names, before.iou, after.iou, strict=True)
        if not (math.isnan(first) and math.isnan(second))
    ]
    heads = [COLOUR_HEAD, *map(column_head, ("IoU of each class", "Left", "Right"))]
    more = len(rows) - MOST_ROWS
    return (
        scrolling_table(heads, "".join(rows[:MOST_ROWS]), "compared")
        + hint("IoU: overlap of found and true area, from 0 to 100\u00a0%.")
        + (hint(f"And {more} more classes.") if more > 0 else "")
    )


def numbers_read(truth: GroundTruth) -> str:
    """Return HTML: the class of each number of the ground truth."""
    if truth.drawn:
        return hint("The ground truth of this example was drawn by hand.")
    first = 1 if truth.from_one else 0
    named = [f"{number} {name}" for number, name in enumerate(truth.words, first)]
    # From 0 on, the background or everything else has the number after the words, like any other class.
    zero = [] if not truth.from_one else [f"0 {truth.rest or 'does not count'}"]
    rest = [f"{len(named)} {truth.rest}"] if truth.rest and not truth.from_one else []
    shown = core.errors.some([*named, *rest], MOST_NUMBERS)
    return hint(f"Numbers of the ground truth: {'; '.join([shown, *zero, '255 does not count'])}.")


def doubts(truth: GroundTruth, scored: Sequence[Score], otherwise: Sequence[Score]) -> str:
    """Return HTML: a hint that the numbers of the ground truth may mean something else, or "".

    Args:
        truth: ground truth as it was read.
        scored: score of each result.
        otherwise: the same with the other reading of the numbers; empty if that is not possible.
    """
    now, then = best_mean(scored), best_mean(otherwise)
    if then > now + BETTER:
        do, first = ("Untick", 0) if truth.from_one else ("Tick", 1)
        change = html.unescape(f"{percent(then)} instead of {percent(now)}")
        text = (
            f"With numbers from {first} on, the best result has a mean IoU of {change}. "
            f"{do} \u201c{NUMBERS_FROM_ONE}\u201d if {first} is the first of your words."
        )
        return strip("note", "The numbers of the ground truth may be shifted.", text)
    found = max((float(iou) for score in scored for iou in score.iou if not math.isnan(iou)), default=1.0)
    if found < GOOD:
        text = f"At most {html.unescape(percent(found))} IoU. Check that its numbers follow your words as listed below."
        return strip("note", "No class of the ground truth matches well in any result.", text)
    return ""


def best_mean(scored: Sequence[Score]) -> float:
    """Return the largest mean IoU; 0 if there is none."""
    return max((score.mean_iou for score in scored if not math.isnan(score.mean_iou)), default=0.0)


def errors_text(after: Variant) -> str:
    """Return HTML: caption of the error map."""
    return f'<p class="caption">Errors of {html.escape(after.title)}: wrong in yellow, not counted in black</p>'


def _share(value: float | None) -> str:
    return NONE if value is None else percent(value)


def _signed(before: float | None, after: float | None) -> str:
    """Return the difference of two shares in percentage points, as a reader computes it from the shown numbers."""
    shown = round(100 * (after or 0.0), 1) - round(100 * (before or 0.0), 1)
    sign = "+" if shown > 0.05 else "\u2212" if shown < -0.05 else ""
    return f"{sign}{abs(shown):.1f}"


def _score(value: float) -> str:
    return NONE if math.isnan(value) else percent(value)


def _bold(text: str, yes: bool) -> str:
    return f"<b>{text}</b>" if yes else text
