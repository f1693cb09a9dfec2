"""The Clusters tab: regions, and the values that decide them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from demo.handlers.clusters import ClustersHandlers, ClustersView
from demo.settings import DENOISE
from demo.tabs.common import ONE_AT_A_TIME, PRIVATE, Shared, outputs, shown

NAME = "clusters"


@dataclass(frozen=True)
class Clusters:
    """Components of the tab; `denoise`, `eps` and `min_samples` decide every result."""

    regions: gr.Image
    denoise: gr.Radio
    eps: gr.Number
    min_samples: gr.Number


def draw() -> Clusters:
    """Put the components where the caller stands."""
    denoise = gr.Radio(
        list(DENOISE), value=DENOISE[0], label="Denoising", info="What keeps global patches from merging regions."
    )
    with gr.Row():
        eps = gr.Number(None, label="eps", info="Empty: automatic", minimum=0, step=0.05, min_width=120)
        min_samples = gr.Number(None, label="min_samples", info="Empty: automatic", precision=0, min_width=120)
    regions = shown("Regions, found without words", "regions", "png", height=320)
    return Clusters(regions, denoise, eps, min_samples)


def wire(tab: Clusters, opened: gr.Tab, shared: Shared, handlers: ClustersHandlers) -> None:
    """Events of this tab alone; that the three values make a new result is wired where the page is."""
    out = outputs(tab, ClustersView)

    def when_active(active: str, run: Any, path: str | None) -> Any:
        """A new result is there: shown at once only where somebody looks."""
        return handlers.refresh(run, path) if active == NAME else ClustersView(*(gr.skip() for _ in out))

    quiet: dict[str, Any] = {"outputs": out, "show_progress_on": [tab.regions], **ONE_AT_A_TIME, **PRIVATE}
    opened.select(handlers.refresh, [shared.run, shared.image], **quiet)
    shared.token.change(when_active, [shared.active, shared.run, shared.image], **quiet)
