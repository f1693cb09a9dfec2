"""The Attention tab: what one patch looks at, before and after recovery."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from demo.handlers.attention import AttentionHandlers, LookView
from demo.presenters import attention as presenters
from demo.tabs.common import ONE_AT_A_TIME, PRIVATE, Shared, outputs, shown

NAME = "attention"


@dataclass(frozen=True)
class Attention:
    """Components of the tab."""

    patches: gr.Image
    before: gr.Image
    after: gr.Image
    scales: gr.HTML
    patch_facts: gr.HTML
    row: gr.Number
    column: gr.Number
    show: gr.Button
    layer: gr.Slider
    looked: gr.State


def draw() -> Attention:
    """Put the components where the caller stands."""
    patches = shown("Click a patch", "patches", height=380, buttons=[])
    patch_facts = gr.HTML(presenters.EMPTY_PATCH, elem_id="patch-facts", min_height=44, padding=False)
    with gr.Row():
        with gr.Column(min_width=120):
            before = shown("Before: query-key attention", "before", height=300)
        with gr.Column(min_width=120):
            after = shown("After: recovered affinity", "after", height=300)
    scales = gr.HTML("", elem_id="scales", min_height=60, padding=False)
    with gr.Row():
        row = gr.Number(0, label="Row", minimum=0, precision=0, min_width=110, elem_id="row")
        column = gr.Number(0, label="Column", minimum=0, precision=0, min_width=110, elem_id="column")
        show = gr.Button("Show patch", min_width=110, elem_id="show")
    layer = gr.Slider(1, 12, value=11, step=1, label="Layer", elem_id="layer")
    return Attention(patches, before, after, scales, patch_facts, row, column, show, layer, gr.State(None))


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
    where = [shared.run, shared.image, tab.row, tab.column, tab.layer]
    tab.patches.select(handlers.click, [shared.run, shared.token, shared.image, tab.layer], **look)
    gr.on([tab.show.click, tab.row.submit, tab.column.submit], handlers.step, where, **look)
    tab.layer.input(handlers.step, where, trigger_mode="always_last", **look)
