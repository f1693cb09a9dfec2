"""Refinement and fixes as text that the browser stores in its history, so that a reload and Back restore them.

Imports no Gradio."""

from __future__ import annotations

import json

from cliptrase_core.names import MODES
from demo import core
from demo.service.refine import MEGABYTES, Refinement, is_available
from demo.service.segmentation import Run
from demo.service.shown import DisplayState, PlacedFix

MOST_CHARACTERS = 500_000
"""Maximum number of characters of such a text; the maximum number of points of a result takes less."""


def history_text(shown: DisplayState) -> str:
    """Return picture, refinement and fixes of a displayed state; empty without both, or with too many fixes."""
    fixes = [[one.cropped, one.fix.as_dict()] for one in shown.every_fix()]
    refined = shown.refinement and [shown.refinement.refiner, shown.refinement.mode]
    keep = shown.refinement and shown.refinement.keep
    record = {"picture": shown.run.key.picture, "of": shown.run.token, "refined": refined, "keep": keep, "fixes": fixes}
    text = json.dumps(record, separators=(",", ":")) if fixes or refined else ""
    return text if len(text) <= MOST_CHARACTERS else ""


def read_history(text: object, run: Run) -> DisplayState | None:
    """Read the text from `history_text`. The fixes are set aside; `shown.transfer_changes` applies those that fit.

    Args:
        text: text from the browser, so any value.
        run: run whose displayed state is restored.

    Returns:
        The displayed state, or None if the text is of another picture or not from `history_text`.
    """
    if not isinstance(text, str) or not 0 < len(text) <= MOST_CHARACTERS:
        return None
    try:
        record = json.loads(text)
        if record["picture"] != run.key.picture:
            return None
        cropped = [one[0] is True for one in record["fixes"]]
        fixes = core.refine.read_fixes([one[1] for one in record["fixes"]])
        refiner, mode = record["refined"] or ("", "")
        keep = _numbers(record.get("keep")) if record.get("of") == run.token else None  # numbers of that run only
        known = refiner in MEGABYTES and mode in MODES and is_available(refiner)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError, core.errors.CliptraseError):
        return None
    refinement = Refinement(run, refiner, mode, keep) if known else None
    return DisplayState(
        run, refinement, aside=tuple(PlacedFix(0, fix, crop) for fix, crop in zip(fixes, cropped, strict=True))
    )


def _numbers(entry: object) -> tuple[int, ...] | None:
    """Return numbers of components from a record; the core refuses those that a result does not have."""
    if entry is None:
        return None
    if not isinstance(entry, list) or not all(type(number) is int for number in entry):
        raise ValueError("components are known by whole numbers")
    return tuple(sorted(set(entry)))
