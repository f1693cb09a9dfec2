"""A result in words, tables and plain JSON. Whatever a person typed is escaped here. Imports no Gradio."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from demo import core
from demo.presenters.common import describe_model, hint, percent, seconds, some, sort_head, swatch, word
from demo.service import Cut, Point

NOTES_SHOWN = 5

DOWNLOAD = "Download masks, overlay and settings (zip)"
EMPTY_LEGEND = hint("The classes that were found appear here, with their share of the picture.")
EMPTY_POINT = hint("Click the picture to see what is there, what came second and why.")
_STAGES = (("words", "text"), ("clusters", "cluster"), ("labels", "label"))
_COLUMNS = (("Class", "text"), ("Area", "number"), ("Mean confidence", "number"))


def legend_table(cut: Cut) -> str:
    """HTML table: colour, class, share of the picture, mean confidence; its heads are buttons that sort."""
    heads = "".join(sort_head(name, kind, falling=name == "Area") for name, kind in _COLUMNS)
    rows = "".join(
        f'<tr><td>{swatch(row.colour)}</td><th scope="row" data-value="{html.escape(row.name, quote=True)}">'
        f'{word(row.name)}</th><td data-value="{row.area:.6f}">{percent(row.area)}</td>'
        f'<td data-value="{row.confidence:.6f}">{percent(row.confidence)}</td></tr>'
        for row in cut.legend
    )
    present = {row.name for row in cut.legend}
    absent = [name for name in cut.result.class_names if name not in present]
    return (
        '<div class="legend"><table><thead><tr><th scope="col"><span class="unseen">Colour</span></th>'
        f"{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
        + (f'<p class="hint">Not found: {word(some(absent, 12))}</p>' if absent else "")
        + "".join(hint(note) for note in cut.result.notes[:NOTES_SHOWN])
    )


def costs(cut: Cut) -> str:
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


def alt_text(cut: Cut) -> str:
    """The overlay for whoever does not see it; plain text."""
    shares = ", ".join(f"{row.name} {row.area:.0%}" for row in cut.legend[:12])
    return f"The picture divided among words: {shares}. The table below has every class."


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


def describe(cut: Cut, *, masks: bool = False) -> Mapping[str, Any]:
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
