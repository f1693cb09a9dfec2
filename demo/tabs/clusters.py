"""The Clusters tab: regions before and after denoising, their votes, and the values that decide them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from demo.handlers.clusters import ClustersHandlers, ClustersView
from demo.presenters import clusters as presenters
from demo.settings import DENOISE
from demo.tabs.common import ONE_AT_A_TIME, PRIVATE, Shared, outputs, shown

NAME = "clusters"
DENOISE_INFO = (
    "cls takes away what each patch shares with the whole picture; dice drops regions that look like all of it."
)


@dataclass(frozen=True)
class Clusters:
    """Components of the tab; `denoise`, `eps` and `min_samples` decide every result."""

    summary: gr.HTML
    before: gr.Image
    after: gr.Image
    denoise: gr.Radio
    eps: gr.Number
    min_samples: gr.Number
    region: gr.Dropdown
    region_facts: gr.HTML
    region_table: gr.HTML


def draw() -> Clusters:
    """Put the components where the caller stands."""
    summary = gr.HTML(presenters.EMPTY_SUMMARY, elem_id="cluster-summary", min_height=60, padding=False)
    with gr.Row():
        with gr.Column(min_width=140):
            before = shown("Before denoising", "regions-before", "png", height=300)
        with gr.Column(min_width=140):
            after = shown("After denoising", "regions-after", "png", height=300)
    gr.HTML(presenters.KEY, padding=False)
    denoise = gr.Radio(list(DENOISE), value=DENOISE[0], label="Denoising", info=DENOISE_INFO, elem_id="denoise")
    with gr.Row():
        eps = gr.Number(
            None, label="eps: how far", info="Empty: automatic", minimum=0, step=0.05, min_width=120, elem_id="eps"
        )
        min_samples = gr.Number(
            None,
            label="min_samples: how many",
            info="Empty: automatic",
            minimum=1,
            precision=0,
            min_width=120,
            elem_id="min-samples",
        )
    region = gr.Dropdown([], value=None, label="Region", elem_id="region", filterable=False)
    region_facts = gr.HTML("", elem_id="region-facts", min_height=44, padding=False)
    region_table = gr.HTML(presenters.EMPTY_TABLE, elem_id="region-table", min_height=90, padding=False)
    return Clusters(summary, before, after, denoise, eps, min_samples, region, region_facts, region_table)


def wire(tab: Clusters, opened: gr.Tab, shared: Shared, handlers: ClustersHandlers) -> None:
    """Events of this tab alone; that the three values make a new result is wired where the page is."""
    out = outputs(tab, ClustersView)

    def when_active(active: str, run: Any, path: str | None) -> Any:
        """A new result is there: shown at once only where somebody looks."""
        return handlers.refresh(run, path) if active == NAME else ClustersView(*(gr.skip() for _ in out))

    quiet: dict[str, Any] = {"outputs": out, "show_progress_on": [tab.after], **ONE_AT_A_TIME, **PRIVATE}
    opened.select(handlers.refresh, [shared.run, shared.image], **quiet)
    shared.token.change(when_active, [shared.active, shared.run, shared.image], **quiet)
    clicked = [tab.before.select, tab.after.select]
    gr.on(clicked, handlers.click, [shared.run, shared.token, shared.image], **quiet)
    tab.region.input(handlers.pick, [shared.run, shared.image, tab.region], **quiet)
