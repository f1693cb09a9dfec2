"""The Model tab: which weights run for this visitor, another in their place, and the model input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from demo.handlers.model import FactsView, LoadView, ModelHandlers, SawView
from demo.models import offered
from demo.presenters.model import NOTHING_RUNS, NOTHING_SEEN, choices
from demo.tabs.ask import Ask
from demo.tabs.common import PRIVATE, Shared, outputs, shown

NAME = "model"


@dataclass(frozen=True)
class Model:
    """Components of the tab; `banner` and `model` are the page's own, which loading changes too."""

    choice: gr.Dropdown
    load: gr.Button
    stop: gr.Button
    news: gr.HTML
    facts: gr.HTML
    pixels: gr.Image
    sizes: gr.HTML
    banner: gr.HTML
    model: gr.State


def draw(banner: gr.HTML, model: gr.State) -> Model:
    """Put the components where the caller stands."""
    choice = gr.Dropdown(
        choices(offered(look=False)),
        value=None,
        label="Which model",
        info="Or type any ViT that open_clip knows, as name:tag. Only your own page changes.",
        allow_custom_value=True,
        elem_id="model-choice",
    )
    with gr.Row():
        load = gr.Button("Use this model", variant="secondary", elem_id="model-load", scale=3, min_width=160)
        stop = gr.Button("Stop", elem_id="model-stop", scale=1, min_width=70)
    news = gr.HTML("", padding=False, elem_id="model-news")
    facts = gr.HTML(NOTHING_RUNS, padding=False, elem_id="model-facts")
    pixels = shown("What the model sees, patch by patch", "model-pixels", "png", height=360)
    sizes = gr.HTML(NOTHING_SEEN, padding=False, elem_id="model-sizes")
    return Model(choice, load, stop, news, facts, pixels, sizes, banner, model)


def wire(tab: Model, opened: gr.Tab, shared: Shared, ask: Ask, handlers: ModelHandlers) -> None:
    """Events of this tab; that another model makes a new result is wired where the page is."""
    seen = [shared.image, ask.preset, ask.short_side, tab.model]
    saw: dict[str, Any] = {"outputs": outputs(tab, SawView), "show_progress_on": [tab.pixels], **PRIVATE}

    def when_active(active: str, *fields: Any) -> Any:
        """Something changed: shown at once only where somebody looks."""
        return handlers.look(*fields) if active == NAME else SawView(gr.skip(), gr.skip())

    opened.select(handlers.refresh, tab.model, outputs(tab, FactsView), show_progress="hidden", **PRIVATE)
    opened.select(handlers.look, seen, **saw)
    changed = [shared.image.change, ask.preset.change, ask.short_side.change, tab.model.change]
    gr.on(changed, when_active, [shared.active, *seen], trigger_mode="always_last", **saw)
    loading = gr.on(
        [tab.load.click],
        handlers.load,
        [tab.choice, tab.model],
        outputs(tab, LoadView),
        show_progress="hidden",
        concurrency_limit=1,
        concurrency_id="load",  # beside the model's own place: a long download must not hold up results
        **PRIVATE,
    )
    tab.stop.click(handlers.stopped, None, tab.news, cancels=[loading], queue=False, show_progress="hidden", **PRIVATE)
