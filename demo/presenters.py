"""Results become words, tables and plain JSON. Whatever a person typed is escaped here. Imports no Gradio."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

from demo.models import NANO, Status
from demo.service import Cut, Look

RANKS_SHOWN = 4
OUTLINED = 8
"""Global patches that are outlined: more would hide the map."""
NOTES_SHOWN = 5

NANO_LIMITS = "It is small and was trained on drawn scenes: it reads photographs poorly."
EMPTY_LEGEND = '<p class="hint">The classes that were found appear here, with their share of the picture.</p>'
EMPTY_PATCH = '<p class="hint">Segment a picture, then click one of its patches.</p>'
PICK_PATCH = '<p class="hint">Click a patch of the picture, or give its row and column.</p>'


def banner(status: Status) -> str:
    """HTML: what runs and where, and why it is not what was asked for."""
    if status.failed:
        return _strip("bad", "No model", status.notice or "")
    if not status.ready:
        return _strip("busy", "Loading the model", "The page is ready; the first answer may take some seconds.")
    weights = "" if status.pretrained == "embedded" else f", {status.pretrained} weights"
    facts = f"{status.name}{weights} on {status.device}, {status.precision}"
    if status.notice:
        return _strip("note", facts, status.notice)
    return _strip("calm", facts, f"The embedded model. {NANO_LIMITS}" if status.name == NANO else "")


def legend_table(cut: Cut) -> str:
    """HTML table: colour, class, share of the picture, mean confidence."""
    rows = "".join(
        f'<tr><td><span class="swatch" style="background:{row.colour}"></span></td><th scope="row"><bdi>'
        f"{html.escape(row.name)}</bdi></th><td>{_percent(row.area)}</td><td>{_percent(row.confidence)}</td></tr>"
        for row in cut.legend
    )
    absent = [name for name in cut.result.class_names if name not in {row.name for row in cut.legend}]
    return (
        '<div class="legend"><table><thead><tr><th><span class="unseen">Colour</span></th><th>Class</th>'
        f"<th>Area</th><th>Mean confidence</th></tr></thead><tbody>{rows}</tbody></table></div>"
        + (f'<p class="hint">Not found: <bdi>{html.escape(_some(absent, 12))}</bdi></p>' if absent else "")
        + "".join(f'<p class="hint">{html.escape(note)}</p>' for note in cut.result.notes[:NOTES_SHOWN])
    )


def costs(cut: Cut) -> str:
    """HTML: what each stage took, and what was reused."""
    took, settings = cut.result.timings, cut.result.settings
    if cut.reused:
        picture = "picture <b>reused</b>: the image model did not run"
    else:
        picture = f"picture read {_seconds(took['read'])}, encoded {_seconds(took['encode'])}"
    regions = int(cut.result.patch_clusters.max()) + 1
    h, w = cut.seen.grid
    return (
        f'<p class="facts">{picture} · words {_seconds(took["text"])} · clusters {_seconds(took["cluster"])} · '
        f"labels {_seconds(took['label'])}<br>{regions} regions of {h} &times; {w} patches · "
        f"eps {settings['eps']:.3g}, min_samples {settings['min_samples']}</p>"
    )


def patch_facts(look: Look) -> str:
    """HTML: which patch of which layer, and what became of the global patches."""
    row, column = look.patch
    h, w = look.seen.grid
    count = len(look.ranks)
    line = f"Layer {look.layer} of {look.seen.layers} · patch row {row}, column {column} of {h} &times; {w} · "
    if not count:
        return f'<p class="facts">{line}no global patches in this layer</p>'
    ranks = ", ".join(f"{before} → {after}" for before, after in look.ranks[:RANKS_SHOWN])
    more = ", …" if count > RANKS_SHOWN else ""
    which = "in white" if count <= OUTLINED else f"the strongest {OUTLINED} in white"
    return (
        f'<p class="facts">{line}<b>{count} global patch{"es" if count > 1 else ""}</b>, which the others look at '
        f"far more than at the rest ({which}). Rank among {h * w} before → after recovery: {ranks}{more}</p>"
    )


def scales(look: Look) -> str:
    """HTML: the colour scale under the two heat maps, with the numbers at its ends."""
    from cliptrase_core.heatmap import heat_range  # late: the page is drawn before torch is there

    even = 1 + look.attention.size  # [CLS] counts among those that are looked at
    before = [f"{value * even:.2f}&times;" for value in heat_range(look.attention, look.patch)]
    after = [_cosine(value) for value in heat_range(look.affinity, look.patch)]
    return (
        f'<div class="scales">{_bar(*before, "of an even share")}{_bar(*after, "cosine")}</div>'
        '<p class="hint">Each map runs from its own lowest to its own highest patch: the two have different units. '
        "The chosen patch (red) is left out of the scale.</p>"
    )


def describe(cut: Cut, status: Status) -> Mapping[str, Any]:
    """A result as plain JSON: classes with colours and areas, sizes, settings, timings."""
    result = cut.result
    return {
        "model": status.name,
        "size": list(result.size),
        "grid": list(result.grid),
        "classes": [
            {"name": row.name, "colour": row.colour, "area": row.area, "confidence": row.confidence}
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


def describe_look(look: Look) -> Mapping[str, Any]:
    """One patch's maps as plain JSON."""
    return {
        "row": look.patch[0],
        "column": look.patch[1],
        "layer": look.layer,
        "layers": look.seen.layers,
        "grid": list(look.seen.grid),
        "attention": look.attention.tolist(),
        "affinity": look.affinity.tolist(),
        "global_patches": [
            {"row": row, "column": column, "rank_before": before, "rank_after": after}
            for (row, column), (before, after) in zip(look.global_patches, look.ranks, strict=True)
        ],
    }


def _strip(kind: str, title: str, text: str) -> str:
    return f'<div class="strip {kind}" role="status"><b>{html.escape(title)}</b> {html.escape(text)}</div>'


def _bar(low: str, high: str, unit: str) -> str:
    from cliptrase_core.heatmap import HEAT_STOPS

    colours = ", ".join(HEAT_STOPS)
    return (
        f'<div><span class="bar" style="background:linear-gradient(90deg, {colours})"></span>'
        f'<span class="ends"><span>{low}</span><span>{unit}</span><span>{high}</span></span></div>'
    )


def _cosine(value: float) -> str:
    return f"{round(value, 2) + 0.0:.2f}"  # adding 0 makes 0.00 of -0.00


def _percent(share: float) -> str:
    return f"{share:.1%}" if share >= 0.001 else "&lt; 0.1%"


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 0.1 else f"{seconds * 1000:.0f} ms"


def _some(names: list[str], limit: int) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")
