"""The Attention tab: attention of one patch, before and after recovery."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import gradio as gr
import numpy as np

from demo import core, drawing
from demo.answers import sentence
from demo.drawing import Range, difference_map, heat_map, matrix_picture, own_range
from demo.handling import errors_as_messages, inside, one_of, place_of, point_of, same, whole
from demo.html import caption, column_head, percent, table
from demo.service import Matrix, PatchAttention, Run, Service
from demo.service.lens import telling_patch
from demo.settings import DIRECTIONS, INCOMING, OUTGOING
from demo.tabs.common import EACH, LAST, ONE_AT_A_TIME, PRIVATE, SMALL, Shared, hidden_text, outputs, shown

if TYPE_CHECKING:
    from cliptrase_core.inspection.capture import LayerGlobals


OUTLINED = 8
"""Maximum number of global patches that are outlined and listed: more would hide the map."""
SAME_SCALE, OWN_SCALE = SCALES = ("one scale for all", "each its own")

EMPTY_PATCH = '<p class="hint">Segment a picture, then choose one of its patches.</p>'
_NUMBERS = (
    ("entropy", "Spread (entropy, 100\u00a0% is uniform)"),
    ("on_global", "Goes to global patches"),
    ("strongest", "Goes to the ten strongest"),
    ("near", "Stays within two patches"),
)
_NUMBERS_IN = (
    ("entropy", "Spread (entropy, 100\u00a0% is uniform)"),
    ("on_global", "Comes from global patches"),
    ("strongest", "Comes from the ten strongest"),
    ("near", "Comes from within two patches"),
)


def patch_facts(attention: PatchAttention | Matrix) -> str:
    """Return HTML: one sentence about the effect of recovery, and the layer, head and patch."""
    h, w = attention.key.grid
    head = "mean of all heads" if attention.head is None else f"head {attention.head} of {attention.key.heads}"
    where = f"Layer {attention.layer} of {attention.key.layers} · {head}"
    if isinstance(attention, PatchAttention):
        where += (
            f" · patch row {attention.patch[0]}, column {attention.patch[1]} of" if attention.patch else " · [CLS],"
        )
    else:
        where += " · row i of the matrix is the attention from patch i, column j the attention to patch j,"
    return (
        f'<p class="told" role="status">{sentence(attention)}</p><p class="facts">{where} {h} &times; {w} patches</p>'
    )


def numbers_table(attention: PatchAttention | Matrix) -> str:
    """Return HTML: numbers before and after recovery, and the global patches with both ranks."""
    before, after = attention.numbers
    incoming = isinstance(attention, PatchAttention) and attention.direction == INCOMING
    rows = "".join(
        _row(name, percent(getattr(before, field)), percent(getattr(after, field)))
        for field, name in (_NUMBERS_IN if incoming else _NUMBERS)
        if getattr(before, field) is not None
    )
    if isinstance(attention, PatchAttention) and attention.received is not None:
        rows = _row("Receives, &times; uniform", *(f"{value:.2f}&times;" for value in attention.received)) + rows
    return f'<div class="tables">{_numbers(("What changed", "Before", "After"), rows)}{_ranks(attention)}</div>'


def depth_figure(layers: Sequence[LayerGlobals], current: int) -> str:
    """Return HTML: the number of global patches of every layer, and their share of the attention."""
    bars = "".join(
        f"<li{' class=now aria-current=true' if one.layer == current else ''}>"
        f'<span class="count" aria-hidden="true">{one.count}</span>'
        f'<span class="rod"><span style="height:{one.share:.1%}"></span></span>'
        f'<span class="layer" aria-hidden="true">{one.layer}</span><span class="unseen">Layer {one.layer}: '
        f"number of global patches {one.count}, their share of the attention {percent(one.share)}</span></li>"
        for one in layers
    )
    return (
        f'{caption("How global patches grow with depth")}<ol class="depth" tabindex="0">{bars}</ol>'
        '<p class="hint">Bar: share of the attention that goes to global patches, up to 100\u00a0%. '
        "Above it their number, below it the layer; the marked layer is shown.</p>"
    )


def scales(attention: PatchAttention | Matrix, scale: str) -> str:
    """Return HTML: the colour scales under the maps, with the numbers at their ends."""
    patch = attention.patch if isinstance(attention, PatchAttention) else None
    end = f"{difference_end(attention, scale):.1f}&times;"
    signed = _bar(core.viz.heatmap.SIGNED_STOPS, f"&minus;{end}", "less now · more now", f"+{end}")
    if scale == SAME_SCALE:
        heat = _bar(
            core.viz.heatmap.HEAT_STOPS, "0", "&times; uniform (1/N)", f"{core.viz.heatmap.MOST:.0f}&times; and more"
        )
        note = (
            "Uniform (1/N) is what each patch would get if all got the same. The affinity counts as a share of its row "
            "here; regions are made of that of the last layer but one, all heads."
        )
        return f'<div class="scales">{heat}{signed}</div><p class="hint">{note}</p>'
    bars = [
        _bar(core.viz.heatmap.HEAT_STOPS, f"{low:.2f}{unit}", name, f"{high:.2f}{unit}")
        for name, values, unit in (
            ("before", attention.relative[0], "&times;"),
            ("after", attention.relative[1], "&times;"),
            ("affinity, cosine", attention.affinity, ""),
        )
        for low, high in [own_range(values, patch)]
    ]
    note = "Each map runs from its own lowest to its own highest patch: equal colours do not mean equal values."
    return f'<div class="scales">{"".join(bars)}{signed}</div><p class="hint">{note}</p>'


def heat_ends(scale: str) -> Range | None:
    """Return the values at the ends of the heat colours; None if each map has its own."""
    return (0.0, core.viz.heatmap.MOST) if scale == SAME_SCALE else None


def difference_end(attention: PatchAttention | Matrix, scale: str) -> float:
    """Return the difference at the end of the signed colours, in multiples of uniform (1/N)."""
    widest = float(abs(attention.relative[1] - attention.relative[0]).max())
    return core.viz.heatmap.MOST if scale == SAME_SCALE or widest == 0 else widest


def _ranks(attention: PatchAttention | Matrix) -> str:
    shown = list(zip(attention.global_patches, attention.ranks, strict=True))[:OUTLINED]
    if not shown:
        return '<p class="hint">No patch of this layer stands out: it has no global patches.</p>'
    rows = "".join(_row(f"row {row}, column {column}", *map(str, ranks)) for (row, column), ranks in shown)
    count = len(attention.global_patches)
    more = f"the strongest {OUTLINED} of {count}" if count > OUTLINED else f"all {count}"
    numbers = _numbers(("Global patch", "Rank before", "Rank after"), rows)
    outlined = ", outlined in white" if isinstance(attention, PatchAttention) else ""
    by = "Rank by how much attention the other patches give to it"
    return f'<div>{numbers}<p class="hint">{more.capitalize()}{outlined}. {by}; 1 is the most.</p></div>'


def _numbers(names: tuple[str, ...], rows: str) -> str:
    return table(map(column_head, names), rows, "plain")


def _row(name: str, *values: str) -> str:
    return f'<tr><th scope="row">{name}</th>{"".join(f"<td>{value}</td>" for value in values)}</tr>'


def _bar(stops: tuple[str, ...], low: str, middle: str, high: str) -> str:
    return (
        f'<div><span class="bar" style="background:linear-gradient(90deg, {", ".join(stops)})"></span>'
        f'<span class="ends"><span>{low}</span><span>{middle}</span><span>{high}</span></span></div>'
    )


PATCH, CLS, MATRIX = SUBJECTS = ("patch", "cls", "matrix")
ALL_HEADS = 0


class AttentionView(NamedTuple):
    """New values of the components that show attention, by component name."""

    patches: Any
    before: Any
    after: Any
    difference: Any
    affinity: Any
    scales: Any
    patch_facts: Any
    numbers: Any
    depth: Any
    row: Any
    column: Any
    layer: Any
    head: Any
    direction: Any
    inspected: Any
    subject: Any


class AttentionHandlers:
    """Handlers of the tab's events, one method each; they store nothing about visitors.

    `fields` are the values of the tab's controls, in the order of `_show`.
    """

    def __init__(self, service: Service) -> None:
        """Create handlers for one service."""
        self._service = service

    @errors_as_messages
    def refresh(
        self, run: Run | None, inspected: Any, path: str | None, direction: Any = OUTGOING, subject: Any = PATCH,
        scale: Any = SAME_SCALE, place: Any = "", *shown: Any,
    ) -> AttentionView:  # fmt: skip
        """Handle an opened tab, a new result, or a choice in the lens: show what the lens shows, unless already shown.

        Args:
            run: run of the shown result.
            inspected: key of the picture that the tab shows.
            path: file of the picture.
            direction: as the following, a control of the tab.
            subject: view of the tab.
            scale: colour scale of the tab.
            place: as for `place_of`. Without it, or if it is of another picture, the patch that recovery changes most.
            shown: row, column, layer and head that the tab shows.
        """
        if run is None:
            return _empty(patch_facts=EMPTY_PATCH, row=0, column=0)
        (h, w), key, wanted = run.key.grid, run.key, place_of(place)
        if wanted and not (wanted[0] < h and wanted[1] < w and 0 < wanted[2] <= key.layers and wanted[3] <= key.heads):
            wanted = None
        if inspected == key and wanted in (None, shown):
            return same(AttentionView)
        start = (*divmod(telling_patch(self._service, run, path), w), max(1, key.layers - 1), ALL_HEADS)
        row, column, layer, head = wanted or start
        heads = [("mean of all heads", ALL_HEADS), *((f"head {one}", one) for one in range(1, key.heads + 1))]
        return self._show(run, path, row, column, layer, head, direction, subject, scale)._replace(
            row=gr.Number(row, maximum=h - 1, label=f"Row (0 to {h - 1})"),
            column=gr.Number(column, maximum=w - 1, label=f"Column (0 to {w - 1})"),
            layer=gr.Slider(maximum=key.layers, value=layer),
            head=gr.Dropdown(heads, value=head),
        )

    @errors_as_messages
    def click(self, run: Run | None, token: str, path: str | None, event: gr.SelectData, *fields: Any) -> AttentionView:
        """Handle a click on the picture; ignore a click on a picture that is no longer shown."""
        if run is None or token != run.token:
            return same(AttentionView)
        side, (h, w) = drawing.cell_side(run.key.grid), run.key.grid
        x, y = inside(*point_of(event), (h * side, w * side))
        return self._show_patch(run, path, *self._service.patch_at(run.key, x, y), *fields)

    @errors_as_messages
    def choose(self, run: Run | None, path: str | None, row: Any, column: Any, *fields: Any) -> AttentionView:
        """Handle a new row or column: the same as a click, without a mouse."""
        if run is None:
            return same(AttentionView)
        return self._show_patch(run, path, whole("row", row), whole("column", column), *fields)

    @errors_as_messages
    def step(self, run: Run | None, path: str | None, row: Any, column: Any, *fields: Any) -> AttentionView:
        """Handle a change of another control."""
        if run is None:
            return same(AttentionView)
        return self._show(run, path, whole("row", row), whole("column", column), *fields)

    @errors_as_messages
    def move(
        self, run: Run | None, path: str | None, row: Any, column: Any, *fields: Any, by: tuple[int, int]
    ) -> AttentionView:
        """Handle an arrow button: show the neighbouring patch, or the same one at the picture's edge."""
        if run is None:
            return same(AttentionView)
        place = (whole("row", row) + by[0], whole("column", column) + by[1])
        row, column = (min(max(0, at), side - 1) for at, side in zip(place, run.key.grid, strict=True))
        return self._show_patch(run, path, row, column, *fields)

    def _show_patch(
        self, run: Run, path: str | None, row: int, column: int, layer: Any, head: Any, direction: Any, subject: Any,
        scale: Any,
    ) -> AttentionView:  # fmt: skip
        """Return the view of a chosen patch, also if [CLS] or the matrix was shown before."""
        view = self._show(run, path, row, column, layer, head, direction, PATCH, scale)
        return view if subject == PATCH else view._replace(subject=PATCH)

    def _show(
        self, run: Run, path: str | None, row: int, column: int, layer: Any, head: Any, direction: Any, subject: Any,
        scale: Any,
    ) -> AttentionView:  # fmt: skip
        key, service = run.key, self._service
        subject = one_of("view", subject, SUBJECTS)
        direction = one_of("direction", direction, DIRECTIONS)
        scale = one_of("colour scale", scale, SCALES)
        chosen = None if layer is None else whole("layer", layer)
        one_head = None if head in (None, ALL_HEADS) else whole("head", head)
        attention: PatchAttention | Matrix
        if subject == MATRIX:
            attention = service.matrix(key, path, chosen, head=one_head)
        elif subject == CLS:
            attention = service.cls_attention(key, path, chosen, head=one_head)
        else:
            attention = service.patch_attention(key, path, row, column, chosen, direction=direction, head=one_head)
        depth = depth_figure(service.depth(key, path), attention.layer)
        mark = (row, column) if subject == PATCH else None
        return _attention_view(attention, scale, depth, mark)


def _attention_view(
    attention: PatchAttention | Matrix, scale: str, depth: str, mark: drawing.Cell | None
) -> AttentionView:
    side = drawing.cell_side(attention.key.grid)
    patches = drawing.with_lines(attention.patches, side, side)
    before, after, difference, affinity = (
        _matrix_maps(attention, scale) if isinstance(attention, Matrix) else _maps(attention, scale)
    )
    return AttentionView(
        patches=drawing.mark(patches, mark, side) if mark else patches,
        before=before,
        after=after,
        difference=difference,
        affinity=affinity,
        scales=scales(attention, scale),
        patch_facts=patch_facts(attention),
        numbers=numbers_table(attention),
        depth=depth,
        row=mark[0] if mark else gr.skip(),
        column=mark[1] if mark else gr.skip(),
        layer=gr.skip(),
        head=gr.skip(),
        direction=gr.Radio(interactive=mark is not None),
        inspected=attention.key,
        subject=gr.skip(),
    )


def _maps(attention: PatchAttention, scale: str) -> tuple[drawing.Picture, ...]:
    marked, ends = attention.global_patches[:OUTLINED], heat_ends(scale)
    before, after, affinity = (
        heat_map(attention.patches, values, attention.patch, marked, ends) for values in _values(attention, scale)
    )
    gained, most = attention.relative[1] - attention.relative[0], difference_end(attention, scale)
    return before, after, difference_map(attention.patches, gained, most, attention.patch, marked), affinity


def _matrix_maps(matrix: Matrix, scale: str) -> tuple[drawing.Picture, ...]:
    before, after, affinity = (
        matrix_picture(core.viz.heatmap.heat_colours(values, *(heat_ends(scale) or own_range(values, None))))
        for values in _values(matrix, scale)
    )
    gained = core.viz.heatmap.signed_colours(matrix.relative[1] - matrix.relative[0], difference_end(matrix, scale))
    return before, after, matrix_picture(gained), affinity


def _values(attention: PatchAttention | Matrix, scale: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the maps to draw: on a common scale the affinity is a share too, on its own scale the cosine."""
    before, after, share = attention.relative
    return before, after, share if scale == SAME_SCALE else attention.affinity


def _empty(**values: Any) -> AttentionView:
    """Return an empty view with the given values; controls stay as they are."""
    kept = ("layer", "head", "direction", "subject")
    blank: dict[str, Any] = {name: gr.skip() if name in kept else None for name in AttentionView._fields}
    return AttentionView(**{**blank, "scales": "", "numbers": "", "depth": "", **values})


NAME = "attention"
ARROWS = {
    "left": ("← Left", (0, -1)),
    "right": ("→ Right", (0, 1)),
    "up": ("↑ Up", (-1, 0)),
    "down": ("↓ Down", (1, 0)),
}


@dataclass(frozen=True)
class Attention:
    """Components of the tab."""

    patches: gr.Image
    row: gr.Number
    column: gr.Number
    show: gr.Button
    arrows: dict[str, gr.Button]
    subject: gr.Radio
    direction: gr.Radio
    patch_facts: gr.HTML
    before: gr.Image
    after: gr.Image
    difference: gr.Image
    affinity: gr.Image
    scales: gr.HTML
    scale: gr.Radio
    numbers: gr.HTML
    layer: gr.Slider
    head: gr.Dropdown
    depth: gr.HTML
    inspected: gr.State
    place: gr.Textbox

    @property
    def fields(self) -> list[Any]:
        """Controls besides row and column, in the order of the handlers' arguments."""
        return [self.layer, self.head, self.direction, self.subject, self.scale]


def draw() -> Attention:
    """Draw the components in the caller's Gradio block."""
    parts: dict[str, Any] = {"patches": shown("Choose a patch", "patches", height=340, buttons=[])}
    parts.update(_draw_steps())
    parts["patch_facts"] = gr.HTML(EMPTY_PATCH, elem_id="patch-facts", min_height=96, padding=False)
    parts.update(_draw_maps())
    parts["numbers"] = gr.HTML("", elem_id="numbers", padding=False)
    with gr.Row(elem_id="depth-controls"):
        parts["layer"] = gr.Slider(1, 12, value=11, step=1, label="Layer", elem_id="layer", min_width=200)
        parts["head"] = gr.Dropdown(
            [("mean of all heads", ALL_HEADS)], value=ALL_HEADS, label="Head", elem_id="head", min_width=160
        )
    parts["depth"] = gr.HTML("", elem_id="depth", padding=False)
    return Attention(**parts, inspected=gr.State(None), place=hidden_text("attention-place"))


def _draw_steps() -> dict[str, Any]:
    """Draw controls to select a patch without a mouse, and the choice of view and direction."""
    with gr.Row():
        row = gr.Number(0, label="Row", minimum=0, precision=0, min_width=100, elem_id="row")
        column = gr.Number(0, label="Column", minimum=0, precision=0, min_width=100, elem_id="column")
        show = gr.Button("Show patch", min_width=100, elem_id="show")
    with gr.Row(elem_id="arrows"):
        arrows = {
            name: gr.Button(label, size="sm", min_width=60, elem_id=f"step-{name}")
            for name, (label, _) in ARROWS.items()
        }
    with gr.Row():
        subject = gr.Radio(
            [("this patch", PATCH), ("[CLS], the summary", CLS), ("whole matrix", MATRIX)],
            value=PATCH,
            label="View",
            elem_id="subject",
            min_width=220,
        )
        direction = gr.Radio(
            [("attention from this patch", OUTGOING), ("attention to this patch", INCOMING)],
            value=OUTGOING,
            label="Direction",
            elem_id="direction",
            min_width=220,
        )
    return {
        "row": row,
        "column": column,
        "show": show,
        "arrows": arrows,
        "subject": subject,
        "direction": direction,
    }


MAP: dict[str, Any] = {"height": 260, "buttons": ["fullscreen"]}
"""Options of a map. No download: Save, beside the result, gives the maps of the same patch with their scale, as PNG."""


def _draw_maps() -> dict[str, Any]:
    with gr.Row(elem_classes="maps"):
        with gr.Column(min_width=120):
            before = shown("Before: query-key attention", "before", **SMALL, **MAP)
        with gr.Column(min_width=120):
            after = shown("After: recovered attention", "after", **SMALL, **MAP)
    with gr.Row(elem_classes="maps"):
        with gr.Column(min_width=120):
            difference = shown("Change: after minus before", "difference", **SMALL, **MAP)
        with gr.Column(min_width=120):
            affinity = shown("Affinity: correlations by cosine", "affinity", **SMALL, **MAP)
    scales = gr.HTML("", elem_id="scales", min_height=60, padding=False)
    scale = gr.Radio(list(SCALES), value=SAME_SCALE, label="Colour scale", elem_id="scale")
    return {
        "before": before,
        "after": after,
        "difference": difference,
        "affinity": affinity,
        "scales": scales,
        "scale": scale,
    }


def wire(tab: Attention, opened: gr.Tab, shared: Shared, place: gr.Textbox, handlers: AttentionHandlers) -> None:
    """Wire the events of this tab: it and the lens show the same patch, layer and head.

    Args:
        tab: components of the tab.
        opened: the tab itself.
        shared: components of the picture and the run.
        place: hidden text with what the lens shows; `tab.place` has the same while the tab is open.
        handlers: handlers of these events.
    """
    out = outputs(tab, AttentionView)

    def when_active(active: str, *fields: Any) -> Any:
        """Handle a new result: update the view only if this tab is open."""
        return handlers.refresh(*fields) if active == NAME else same(AttentionView)

    quiet: dict[str, Any] = {"outputs": out, "show_progress_on": [tab.patches], **ONE_AT_A_TIME, **PRIVATE}
    fields = [shared.run, tab.inspected, shared.image, tab.direction, tab.subject, tab.scale]
    there = [tab.row, tab.column, tab.layer, tab.head]
    caught_up = opened.select(handlers.refresh, [*fields, place, *there], **quiet)
    # While the tab was closed, this field was not written: a return to its patch would be no change of it.
    caught_up.success(None, place, tab.place, js="place => place", **PRIVATE)
    tab.place.change(handlers.refresh, [*fields, tab.place, *there], **LAST, **quiet)
    shared.token.change(when_active, [shared.active, *fields], **EACH, **quiet)

    shown: dict[str, Any] = {"outputs": out, "show_progress_on": [tab.after], **ONE_AT_A_TIME, **PRIVATE}
    where = [shared.run, shared.image, tab.row, tab.column, *tab.fields]
    chosen = [tab.layer.input, tab.head.input, tab.direction.input, tab.subject.input, tab.scale.input]
    moved = [
        tab.patches.select(handlers.click, [shared.run, shared.token, shared.image, *tab.fields], **shown),
        gr.on([tab.show.click, tab.row.submit, tab.column.submit], handlers.choose, where, **shown),
        gr.on(chosen, handlers.step, where, **LAST, **shown),
        *(button.click(_mover(handlers, ARROWS[name][1]), where, **shown) for name, button in tab.arrows.items()),
    ]
    for event in moved:
        event.success(None, there, None, js="(...place) => lab.toLens(...place)", **PRIVATE)


def _mover(handlers: AttentionHandlers, by: tuple[int, int]) -> Callable[..., AttentionView]:
    def move(*values: Any) -> AttentionView:
        """Handle an arrow button."""
        return handlers.move(*values, by=by)

    return move
