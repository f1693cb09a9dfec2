"""The Clusters tab: regions before and after denoising, their votes, and the values that decide them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from demo.handlers.clusters import ClustersHandlers, ClustersView
from demo.presenters import clusters as presenters
from demo.settings import DENOISE
from demo.tabs.common import CHEAP, ONE_AT_A_TIME, PRIVATE, Shared, outputs, shown

NAME = "clusters"
EPS, MIN_SAMPLES = (0.05, 4.0), (1, 60)
"""Ends of the sliders; the published values are 0.7 and 3 for 196 patches, 1.1 and 7 for 441."""
DENOISE_INFO = (
    "cls takes away what each patch shares with the whole picture; dice drops regions that look like all of it."
)


@dataclass(frozen=True)
class Clusters:
    """Components of the tab; `denoise`, `automatic`, `eps` and `min_samples` decide every result."""

    summary: gr.HTML
    before: gr.Image
    after: gr.Image
    denoise: gr.Radio
    automatic: gr.Checkbox
    eps: gr.Slider
    min_samples: gr.Slider
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
    automatic = gr.Checkbox(True, label="eps and min_samples that suit the picture and the model", elem_id="automatic")
    with gr.Row():
        eps = gr.Slider(
            *EPS,
            value=0.7,
            step=0.005,
            label="eps (neighbourhood radius)",
            interactive=False,
            min_width=160,
            elem_id="eps",
        )
        min_samples = gr.Slider(
            *MIN_SAMPLES,
            value=3,
            step=1,
            label="min_samples (minimum neighbours)",
            interactive=False,
            min_width=160,
            elem_id="min-samples",
        )
    region = gr.Dropdown([], value=None, label="Region", elem_id="region", filterable=False)
    region_facts = gr.HTML("", elem_id="region-facts", min_height=44, padding=False)
    region_table = gr.HTML(presenters.EMPTY_TABLE, elem_id="region-table", min_height=90, padding=False)
    return Clusters(
        summary=summary,
        before=before,
        after=after,
        denoise=denoise,
        automatic=automatic,
        eps=eps,
        min_samples=min_samples,
        region=region,
        region_facts=region_facts,
        region_table=region_table,
    )


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
    tab.automatic.input(
        lambda automatic: (gr.Slider(interactive=not automatic), gr.Slider(interactive=not automatic)),
        tab.automatic,
        [tab.eps, tab.min_samples],
        **CHEAP,
    )
    tab.region.input(handlers.pick, [shared.run, shared.image, tab.region], **quiet)
