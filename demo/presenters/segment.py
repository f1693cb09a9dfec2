"""A result in words, tables and plain JSON. Whatever a person typed is escaped here. Imports no Gradio."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from demo import core
from demo.presenters.common import describe_model, hint, percent, seconds, some, sort_head, strip, swatch, word
from demo.service import Point, SegmentView

NOTES_SHOWN = 5

MOST_SAID = 5
"""Classes that the line above the result names."""

DOWNLOAD = "Download masks, overlay and settings (zip)"
SAVE = "Save"
EMPTY_LEGEND = hint("The classes that were found appear here, with their share of the picture.")
OPENING = strip("busy", "Starting.", "The first picture is being divided.")
NEW_PICTURE = strip("note", "Your picture is here.", "Type what is in it, then press Enter.")
NO_PICTURE = strip("note", "No picture.", "Drop one anywhere, paste one, or pick an example.")
STOPPED = strip("note", "Stopped.", "The last result stays.")
_ENCODING = ("read", "encode")
_STAGES = (("words", "text"), ("clusters", "cluster"), ("labels", "label"))
_COLUMNS = (("Class", "text"), ("Area", "number"), ("Confidence", "number"))

MOST_MISSING = 8
"""Classes that are named; the rest is counted."""


def legend_table(cut: SegmentView) -> str:
    """HTML table: class, share of the picture, mean confidence; heads sort it, a class's button isolates it."""
    heads = "".join(sort_head(name, kind, falling=name == "Area") for name, kind in _COLUMNS)
    rows = "".join(
        f'<tr data-label="{row.index}"><th scope="row" data-value="{html.escape(row.name, quote=True)}">'
        f'<button type="button" class="chip" aria-pressed="false">{swatch(row.colour)} {word(row.name)}</button></th>'
        f'<td data-value="{row.area:.6f}"><span class="share" style="--share:{row.area:.3f};--colour:{row.colour}">'
        f'{percent(row.area)}</span></td><td data-value="{row.confidence:.6f}">{percent(row.confidence)}</td></tr>'
        for row in cut.legend
    )
    present = {row.name for row in cut.legend}
    absent = [name for name in cut.result.class_names if name not in present]
    return (
        f'<div class="legend"><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'
        + (f'<p class="hint">Not found: {word(some(absent, 12))}</p>' if absent else "")
        + "".join(hint(note) for note in cut.result.notes[:NOTES_SHOWN])
    )


def done(cut: SegmentView) -> str:
    """HTML: the result in one line, and what stands in the way of a better one."""
    shares = ", ".join(f"{row.name} {row.area:.0%}" for row in cut.legend[:MOST_SAID])
    more = len(cut.legend) - MOST_SAID
    took = sum(value for stage, value in cut.result.timings.items() if not (cut.reused and stage in _ENCODING))
    cost = "Instant (cached)." if cut.kept else f"{seconds(took)}."
    advice = one_class(cut)
    said = f"{shares}{f' and {more} more' if more > 0 else ''}. {advice or cost}"
    return strip("note" if advice else "calm", "Done:", said)


def failed(text: str) -> str:
    """HTML: why there is no new result."""
    return strip("bad", "Not possible.", text)


def one_class(cut: SegmentView) -> str:
    """Plain text: why one class fills the whole picture; empty where several were asked for."""
    rest = cut.run.asked.everything_else
    if len(cut.result.class_names) != 1 + rest:
        return ""
    name = cut.result.class_names[0]
    if len(name.split()) > 2 or (len(name.split()) == 2 and not rest):
        return f"Taken as one class. Separate classes with commas: {', '.join(name.split()[:6])}."
    return "" if rest else "With one class, everything is that class. Add what else is there, for example: sky, grass."


def drawn(cut: SegmentView, scored: int) -> dict[str, Any]:
    """What the browser needs besides pixels to draw a result; the first `scored` classes were compared with patches."""
    colours = core.viz.palette.label_colours(cut.result)
    return {
        "alt": alt_text(cut),
        "words": cut.run.asked.words,
        "grid": list(cut.run.seen.grid),
        "scored": scored,
        "names": list(cut.result.class_names),
        "colours": [[row.index, *colours[row.index].tolist()] for row in cut.legend],
        "classes": [{"index": row.index, "name": row.name, "colour": row.colour} for row in cut.legend],
    }


def costs(cut: SegmentView) -> str:
    """HTML: what each stage took, and what was reused."""
    took, settings = cut.result.timings, cut.result.settings
    if cut.kept:
        stages = "the whole result was <b>reused</b>: nothing was computed again"
    else:
        picture = (
            "picture <b>reused</b>: the image model did not run"
            if cut.reused
            else f"picture read {seconds(took['read'])}, encoded {seconds(took['encode'])}"
        )
        parts = (f"{name} {seconds(took[stage])}" for name, stage in _STAGES)
        stages = " · ".join((picture, *parts))
    regions = int(cut.result.patch_clusters.max()) + 1
    h, w = cut.run.seen.grid
    return (
        f'<p class="facts">{stages}<br>{html.escape(cut.run.seen.model)} · {regions} regions of {h} &times; {w} patches'
        f" · eps {settings['eps']:.3g}, min_samples {settings['min_samples']}</p>"
    )


def alt_text(cut: SegmentView) -> str:
    """The overlay for whoever does not see it; plain text."""
    shares = ", ".join(f"{row.name} {row.area:.0%}" for row in cut.legend[:12])
    return f"The picture divided among words: {shares}. The legend has every class."


def absent(missing: Sequence[str]) -> str:
    """HTML: classes that the picture does not seem to show; empty where there are none."""
    if not missing:
        return ""
    names = some([f'"{name}"' for name in missing], MOST_MISSING)
    return strip("note", "Probably not in this picture", f"or not known to this model: {names}.")


def findings(texts: Sequence[str]) -> str:
    """HTML list of what could be better about the words; empty without findings."""
    if not texts:
        return ""
    items = "".join(f"<li><bdi>{html.escape(text)}</bdi></li>" for text in texts)
    return f'<div class="strip note" role="status"><b>About your words</b><ul>{items}</ul></div>'


def point_facts(point: Point) -> str:
    """HTML: what is at a point of the picture, what came second, and which region voted."""
    shown, (first, *others) = point.shown, point.candidates
    lines = [f"<b>{swatch(point.colour)} {word(shown)}</b> at column {point.column}, row {point.row}"]
    lines.append(
        f"The patch itself says {word(first.name)} ({percent(first.probability)}), by the word {word(first.word)}"
        + (f"; then {word(others[0].name)} ({percent(others[0].probability)})" if others else "")
        + (f", a margin of {percent(first.probability - others[0].probability)}" if others else "")
    )
    if point.abstained:
        lines.append("It is less sure than the threshold, so the pixel is background.")
    elif point.region is not None:
        lines.append(
            f"Region {point.region} ({percent(point.region_area)} of the picture) voted for "
            f"{word(point.region_class)}: {percent(point.region_share)} of its pixels."
        )
    return f'<div class="facts">{"<br>".join(lines)}</div>'


def describe(cut: SegmentView, *, masks: bool = False) -> Mapping[str, Any]:
    """A result as plain JSON.

    Args:
        cut: the result.
        masks: whether each class carries its mask as COCO run lengths, in the frame of `size`.
    """

    result = cut.result
    columns = np.asfortranarray(result.labels) if masks else result.labels  # run lengths go down columns
    return {
        **describe_model(cut.run.seen),
        "size": list(result.size),
        "grid": list(result.grid),
        "classes": [
            {
                "index": row.index,
                "name": row.name,
                "colour": row.colour,
                "area": round(row.area, 6),
                "confidence": round(row.confidence, 4),
                **({"rle": core.io.export.run_lengths(columns == row.index)} if masks else {}),
            }
            for row in cut.legend
        ],
        "class_names": list(result.class_names),
        "regions": int(result.patch_clusters.max()) + 1,
        "patch_clusters": result.patch_clusters.reshape(result.grid).tolist(),
        "encoding_reused": cut.reused,
        "settings": dict(result.settings),
        "timings": {stage: round(float(seconds), 6) for stage, seconds in result.timings.items()},
        "notes": list(result.notes),
    }
