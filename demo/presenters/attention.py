"""What a patch looks at, in words, scales and plain JSON. Imports no Gradio."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from demo.service import Look

RANKS_SHOWN = 4
OUTLINED = 8
"""Global patches that are outlined: more would hide the map."""

EMPTY_PATCH = '<p class="hint">Segment a picture, then click one of its patches.</p>'
PICK_PATCH = '<p class="hint">Click a patch of the picture, or give its row and column.</p>'


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


def _bar(low: str, high: str, unit: str) -> str:
    from cliptrase_core.heatmap import HEAT_STOPS

    colours = ", ".join(HEAT_STOPS)
    return (
        f'<div><span class="bar" style="background:linear-gradient(90deg, {colours})"></span>'
        f'<span class="ends"><span>{low}</span><span>{unit}</span><span>{high}</span></span></div>'
    )


def _cosine(value: float) -> str:
    return f"{round(value, 2) + 0.0:.2f}"  # adding 0 makes 0.00 of -0.00
