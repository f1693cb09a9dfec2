"""What a patch looks at, in words, scales, tables and plain JSON. Imports no Gradio."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from demo import core
from demo.figures.heat import Range, own_range
from demo.presenters.common import describe_model, percent
from demo.service import Matrix, PatchAttention
from demo.service.lens import MOST
from demo.settings import INCOMING

if TYPE_CHECKING:
    from cliptrase_core.inspection.capture import LayerGlobals

OUTLINED = 8
"""Global patches that are outlined and listed: more would hide the map."""
SAME_SCALE, OWN_SCALE = SCALES = ("one scale for all", "each its own")

EMPTY_PATCH = '<p class="hint">Segment a picture, then click one of its patches.</p>'
PICK_PATCH = '<p class="hint">Click a patch of the picture, or give its row and column.</p>'
_NUMBERS = (
    ("entropy", "Spread (entropy, 100% is even)"),
    ("on_global", "Goes to global patches"),
    ("strongest", "Goes to the ten strongest"),
    ("near", "Stays within two patches"),
)
_NUMBERS_IN = (
    ("entropy", "Spread (entropy, 100% is even)"),
    ("on_global", "Comes from global patches"),
    ("strongest", "Comes from the ten strongest"),
    ("near", "Comes from within two patches"),
)


def patch_facts(look: PatchAttention | Matrix) -> str:
    """HTML: one sentence that says what recovery did, and which patch of which layer that is."""
    h, w = look.seen.grid
    head = "mean of all heads" if look.head is None else f"head {look.head} of {look.seen.heads}"
    where = f"Layer {look.layer} of {look.seen.layers} · {head}"
    if isinstance(look, PatchAttention):
        where += f" · patch row {look.patch[0]}, column {look.patch[1]} of" if look.patch else " · [CLS],"
    else:
        where += " · row i of the matrix is what patch i looks at, column j who looks at patch j,"
    return f'<p class="told" role="status">{sentence(look)}</p><p class="facts">{where} {h} &times; {w} patches</p>'


def sentence(look: PatchAttention | Matrix) -> str:
    """What recovery did here, in words that can be read aloud; carries no markup."""
    before, after = look.numbers
    if isinstance(look, PatchAttention) and look.received is not None:
        was, became = (f"{value:.1f}" for value in look.received)
        return (
            f"Before recovery the others gave this patch {was} &times; uniform of their attention, after it "
            f"{became} times; {_part(before.near)} of that came from its surroundings, now {_part(after.near)}."
        )
    whose = "an average patch's" if isinstance(look, Matrix) else "this patch's" if look.patch else "[CLS]'s"
    count = len(look.global_patches)
    if count:
        where = f"{count} global patch{'es' if count > 1 else ''} ({_part(count / _patches(look))} of all)"
        first = (before.on_global, after.on_global)
    else:
        where, first = "its ten strongest patches (this layer has no global ones)", (before.strongest, after.strongest)
    text = f"Before recovery, {_part(first[0])} of {whose} attention went to {where}; after it, {_part(first[1])}"
    if before.near is None or after.near is None:
        return f"{text}."
    turn = "rose" if after.near > before.near else "fell"
    return f"{text}, and the share of its own surroundings {turn} from {_part(before.near)} to {_part(after.near)}."


def numbers_table(look: PatchAttention | Matrix) -> str:
    """HTML: what changed, before and after, and the global patches with both ranks."""
    before, after = look.numbers
    incoming = isinstance(look, PatchAttention) and look.direction == INCOMING
    rows = "".join(
        _row(name, percent(getattr(before, field)), percent(getattr(after, field)))
        for field, name in (_NUMBERS_IN if incoming else _NUMBERS)
        if getattr(before, field) is not None
    )
    if isinstance(look, PatchAttention) and look.received is not None:
        rows = _row("Receives, &times; uniform", *(f"{value:.2f}&times;" for value in look.received)) + rows
    return f'<div class="tables">{_table(("What changed", "Before", "After"), rows)}{_ranks(look)}</div>'


def depth_figure(layers: Sequence[LayerGlobals], current: int) -> str:
    """HTML: for every layer, how much of the attention its global patches take, and how many they are."""
    bars = "".join(
        f"<li{' class=now aria-current=true' if one.layer == current else ''}>"
        f'<span class="count">{one.count}</span>'
        f'<span class="rod"><span style="height:{one.share:.1%}"></span></span>'
        f'<span class="layer">{one.layer}</span><span class="unseen">: layer, with {one.count} global patches '
        f"that take {percent(one.share)} of the attention</span></li>"
        for one in layers
    )
    return (
        '<p class="caption">How global patches grow with depth</p>'
        f'<ol class="depth">{bars}</ol><p class="hint">Bar: share of the attention that goes to global patches, up to '
        "100%. Above it their number, below it the layer; the marked layer is shown.</p>"
    )


def scales(look: PatchAttention | Matrix, scale: str) -> str:
    """HTML: the colour scales under the maps, with the numbers at their ends."""

    patch = look.patch if isinstance(look, PatchAttention) else None
    end = f"{difference_end(look, scale):.1f}&times;"
    signed = _bar(core.viz.heatmap.SIGNED_STOPS, f"&minus;{end}", "less now · more now", f"+{end}")
    if scale == SAME_SCALE:
        heat = _bar(core.viz.heatmap.HEAT_STOPS, "0", "&times; uniform (1/N)", f"{MOST:.0f}&times; and more")
        note = (
            "Uniform (1/N) is what each patch would get if all got the same. The affinity, of which regions are made, "
            "counts as a share of its row here."
        )
        return f'<div class="scales">{heat}{signed}</div><p class="hint">{note}</p>'
    bars = [
        _bar(core.viz.heatmap.HEAT_STOPS, f"{low:.2f}{unit}", name, f"{high:.2f}{unit}")
        for name, values, unit in (
            ("before", look.even[0], "&times;"),
            ("after", look.even[1], "&times;"),
            ("affinity, cosine", look.affinity, ""),
        )
        for low, high in [own_range(values, patch)]
    ]
    note = "Each map runs from its own lowest to its own highest patch: equal colours do not mean equal values."
    return f'<div class="scales">{"".join(bars)}{signed}</div><p class="hint">{note}</p>'


def heat_ends(scale: str) -> Range | None:
    """Ends of the heat colours; None where each map has its own."""
    return (0.0, MOST) if scale == SAME_SCALE else None


def difference_end(look: PatchAttention | Matrix, scale: str) -> float:
    """Difference at which the signed colours end, in multiples of uniform (1/N)."""
    widest = float(abs(look.even[1] - look.even[0]).max())
    return MOST if scale == SAME_SCALE or widest == 0 else widest


def describe_look(look: PatchAttention) -> Mapping[str, Any]:
    """One patch's maps and numbers as plain JSON."""
    before, after = look.numbers
    row, column = look.patch or (None, None)
    return {
        **describe_model(look.seen),
        "row": row,
        "column": column,
        "layer": look.layer,
        "layers": look.seen.layers,
        "head": look.head,
        "heads": look.seen.heads,
        "direction": look.direction,
        "grid": list(look.seen.grid),
        "attention": look.attention.tolist(),
        "recovered": look.recovered.tolist(),
        "affinity": look.affinity.tolist(),
        "numbers": {"before": dataclasses.asdict(before), "after": dataclasses.asdict(after)},
        "summary": sentence(look),
        "global_patches": [
            {"row": row, "column": column, "rank_before": first, "rank_after": second}
            for (row, column), (first, second) in zip(look.global_patches, look.ranks, strict=True)
        ],
    }


def _patches(look: PatchAttention | Matrix) -> int:
    return look.seen.grid[0] * look.seen.grid[1]


def _part(share: float | None) -> str:
    return f"{share or 0:.0%}"


def _ranks(look: PatchAttention | Matrix) -> str:
    shown = list(zip(look.global_patches, look.ranks, strict=True))[:OUTLINED]
    if not shown:
        return '<p class="hint">No patch of this layer stands out: it has no global patches.</p>'
    rows = "".join(_row(f"row {row}, column {column}", *map(str, ranks)) for (row, column), ranks in shown)
    count = len(look.global_patches)
    more = f"the strongest {OUTLINED} of {count}" if count > OUTLINED else f"all {count}"
    table = _table(("Global patch", "Rank before", "Rank after"), rows)
    outlined = ", outlined in white" if isinstance(look, PatchAttention) else ""
    by = "Rank by how much attention the other patches give to it"
    return f'<div>{table}<p class="hint">{more.capitalize()}{outlined}. {by}; 1 is the most.</p></div>'


def _table(heads: tuple[str, ...], rows: str) -> str:
    cells = "".join(f'<th scope="col">{head}</th>' for head in heads)
    return f'<table class="plain"><thead><tr>{cells}</tr></thead><tbody>{rows}</tbody></table>'


def _row(name: str, *values: str) -> str:
    return f'<tr><th scope="row">{name}</th>{"".join(f"<td>{value}</td>" for value in values)}</tr>'


def _bar(stops: tuple[str, ...], low: str, middle: str, high: str) -> str:
    return (
        f'<div><span class="bar" style="background:linear-gradient(90deg, {", ".join(stops)})"></span>'
        f'<span class="ends"><span>{low}</span><span>{middle}</span><span>{high}</span></span></div>'
    )
