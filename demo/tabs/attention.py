"""The Attention tab: what one patch looks at, before and after recovery."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from demo.handlers.attention import ALL_HEADS, CLS, MATRIX, PATCH, AttentionHandlers, LookView
from demo.presenters import attention as presenters
from demo.settings import INCOMING, OUTGOING
from demo.tabs.common import ONE_AT_A_TIME, PRIVATE, Shared, outputs, shown

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
    looked: gr.State

    @property
    def fields(self) -> list[Any]:
        """The controls besides row and column, in the order in which the handlers take them."""
        return [self.layer, self.head, self.direction, self.subject, self.scale]


def draw() -> Attention:
    """Put the components where the caller stands."""
    parts: dict[str, Any] = {"patches": shown("Click a patch", "patches", height=340, buttons=[])}
    parts.update(_draw_steps())
    parts["patch_facts"] = gr.HTML(presenters.EMPTY_PATCH, elem_id="patch-facts", min_height=96, padding=False)
    parts.update(_draw_maps())
    parts["numbers"] = gr.HTML("", elem_id="numbers", padding=False)
    with gr.Row():
        parts["layer"] = gr.Slider(1, 12, value=11, step=1, label="Layer", elem_id="layer", min_width=200)
        parts["head"] = gr.Dropdown(
            [("mean of all heads", ALL_HEADS)], value=ALL_HEADS, label="Head", elem_id="head", min_width=160
        )
    parts["depth"] = gr.HTML("", elem_id="depth", padding=False)
    return Attention(**parts, looked=gr.State(None))


def _draw_steps() -> dict[str, Any]:
    """Ways to a patch without a mouse, and what to ask of it."""
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
            [("what this patch looks at", OUTGOING), ("who looks at this patch", INCOMING)],
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


def _draw_maps() -> dict[str, Any]:
    with gr.Row():
        with gr.Column(min_width=120):
            before = shown("Before: query-key attention", "before", height=260)
        with gr.Column(min_width=120):
            after = shown("After: recovered attention", "after", height=260)
    with gr.Row():
        with gr.Column(min_width=120):
            difference = shown("Change: after minus before", "difference", height=260)
        with gr.Column(min_width=120):
            affinity = shown("Affinity: what is clustered", "affinity", height=260)
    scales = gr.HTML("", elem_id="scales", min_height=60, padding=False)
    scale = gr.Radio(list(presenters.SCALES), value=presenters.SAME_SCALE, label="Colour scale", elem_id="scale")
    return {
        "before": before,
        "after": after,
        "difference": difference,
        "affinity": affinity,
        "scales": scales,
        "scale": scale,
    }


def wire(tab: Attention, opened: gr.Tab, shared: Shared, handlers: AttentionHandlers) -> None:
    """Events of this tab."""
    out = outputs(tab, LookView)

    def when_active(active: str, run: Any, looked: Any, path: str | None) -> Any:
        """A new result is there: shown at once only where somebody looks."""
        return handlers.refresh(run, looked, path) if active == NAME else LookView(*(gr.skip() for _ in out))

    quiet: dict[str, Any] = {"outputs": out, "show_progress_on": [tab.patches], **ONE_AT_A_TIME, **PRIVATE}
    opened.select(handlers.refresh, [shared.run, tab.looked, shared.image], **quiet)
    shared.token.change(when_active, [shared.active, shared.run, tab.looked, shared.image], **quiet)

    look: dict[str, Any] = {"outputs": out, "show_progress_on": [tab.after], **ONE_AT_A_TIME, **PRIVATE}
    where = [shared.run, shared.image, tab.row, tab.column, *tab.fields]
    tab.patches.select(handlers.click, [shared.run, shared.token, shared.image, *tab.fields], **look)
    gr.on([tab.show.click, tab.row.submit, tab.column.submit], handlers.step, where, **look)
    chosen = [tab.layer.input, tab.head.input, tab.direction.input, tab.subject.input, tab.scale.input]
    gr.on(chosen, handlers.step, where, trigger_mode="always_last", **look)
    for name, button in tab.arrows.items():
        button.click(_mover(handlers, ARROWS[name][1]), where, **look)


def _mover(handlers: AttentionHandlers, by: tuple[int, int]) -> Callable[..., LookView]:
    def move(*values: Any) -> LookView:
        """An arrow was pressed."""
        return handlers.move(*values, by=by)

    return move
