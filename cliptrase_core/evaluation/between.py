"""Chain of runs between two profiles, one change at a time, to find the cause of a difference in mIoU."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cliptrase_core.errors import InputError
from cliptrase_core.evaluation.compare import differences, read_scored
from cliptrase_core.evaluation.profiles import PROFILES, Slide
from cliptrase_core.evaluation.report import TABLES
from cliptrase_core.evaluation.word_lists import setting_words, usual_words
from cliptrase_core.methods.registry import Method

_FIGURE = "mIoU"

_PICTURE = (("short_side",), ("window", "stride"), ("positions",))
_SCORES = (("temperature",), ("threshold",), ("least_area",), ("pamr",))
"""Fields of `Slide` that change together: `_PICTURE` before the method changes, `_SCORES` after it."""


@dataclass(frozen=True)
class Step:
    """One run of the chain from one profile to another; it differs from the previous run in one change.

    Attributes:
        title: name of the change; for the first run the name of the first profile.
        before: previous value; "" for the first run.
        after: new value; "" for the first run.
        slide: sliding-window settings of this run.
        method: method with the switches of this run.
        words: name of the word list; None for a custom data set.
    """

    title: str
    before: str
    after: str
    slide: Slide
    method: Method
    words: str | None


def steps(first: str, second: str, setting: str | None) -> list[Step]:
    """List the runs from the first profile to the second: words, picture size, windows, method, then score processing.

    Args:
        first: name of the first profile.
        second: name of the second profile.
        setting: name of a benchmark; None for a custom data set.

    Raises:
        InputError: a profile does not support the setting, or both profiles are equal on it.
    """
    a, b = PROFILES[first], PROFILES[second]
    wanted = b.slide_of(setting)
    now = Step(first, "", "", a.slide_of(setting), a.method_of(setting, a.method), _words(a.words, setting))
    found = [now]
    words = _words(b.words, setting)
    if setting and now.words and words and setting_words(setting, now.words) != setting_words(setting, words):
        found.append(dataclasses.replace(now, title="words", before=now.words, after=words, words=words))
    found += _slides(found[-1], wanted, _PICTURE)
    method = b.method_of(setting, b.method)
    if method != found[-1].method:
        before = found[-1].method
        title = "method" if before.name != method.name else "its numbers and switches"
        found.append(dataclasses.replace(found[-1], title=title, before=before.name, after=method.name, method=method))
    found += _slides(found[-1], wanted, _SCORES)
    if len(found) == 1:
        where = setting or "pictures of your own"
        expected = f"two protocols that differ on {where}"
        remedy = "Choose another pair."
        raise InputError("between", expected=expected, got=f"{first} and {second}", remedy=remedy)
    return found


def _words(words: str, setting: str | None) -> str | None:
    return usual_words(setting, words) if setting else None


def _slides(now: Step, wanted: Slide, groups: Sequence[tuple[str, ...]]) -> list[Step]:
    """Return one step for each group of fields with different values."""
    found: list[Step] = []
    for group in groups:
        old, new = ([getattr(slide, name) for name in group] for slide in (now.slide, wanted))
        if old != new:
            slide = dataclasses.replace(now.slide, **dict(zip(group, new, strict=True)))
            title = " and ".join(group).replace("_", " ")
            now = dataclasses.replace(now, title=title, before=_shown(old), after=_shown(new), slide=slide)
            found.append(now)
    return found


def _shown(values: Sequence[Any]) -> str:
    if values[0] is None:
        return "whole picture"
    return " / ".join("on" if value is True else "off" if value is False else f"{value}" for value in values)


def chain(found: Sequence[Step], reports: Sequence[Path]) -> list[dict[str, Any]]:
    """Return mIoU after each step and the change that the step caused, with intervals; the rows are JSON-able.

    Args:
        found: steps from `steps`.
        reports: paths of the report files, one for each step.

    Raises:
        InputError: a report cannot be read, or the runs did not score the same pictures.
    """
    rows: list[dict[str, Any]] = []
    for place, (step, path) in enumerate(zip(found, reports, strict=True)):
        entry = read_scored(path).report["figures"][_FIGURE]
        row = {"step": step.title, "from": step.before, "to": step.after, "report": path.name, _FIGURE: entry}
        if place:
            change = differences(reports[place - 1], path)[_FIGURE]
            row["change"] = dict(zip(("value", "low", "high"), change, strict=True))
        rows.append(row)
    return rows


def to_json(first: str, second: str, rows: Sequence[dict[str, Any]]) -> bytes:
    """Format the chain as JSON; undefined figures are null."""
    entry = {"format": TABLES["between"], "between": [first, second], "figure": _FIGURE, "steps": list(rows)}
    return json.dumps(entry, indent=1, allow_nan=False).encode() + b"\n"


def to_lines(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of the chain as a Markdown table."""
    yield f"| step | from | to | {_FIGURE} | 95 % interval | change | 95 % interval |"
    yield "|---|---|---|---|---|---|---|"
    for row in rows:
        cells = [row["step"], row["from"], row["to"], *_cells(row[_FIGURE], ".2f")]
        yield f"| {' | '.join([*cells, *_cells(row.get('change'), '+.2f')])} |"


def _cells(entry: dict[str, float | None] | None, form: str) -> tuple[str, str]:
    if entry is None:
        return "", ""
    value, low, high = (None if (found := entry[name]) is None else format(found, form) for name in entry)
    return value or "-", "no interval" if low is None else f"{low} to {high}"
