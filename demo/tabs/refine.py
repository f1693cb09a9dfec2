"""The Refine tab: who moves the boundaries and how, before and after, and what became of each component."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from demo.handlers.common import DownloadView
from demo.handlers.refine import BetterView, OfferView, RefineHandlers, RefineView
from demo.presenters import refine as presenters
from demo.settings import REFINE_MODES
from demo.tabs.common import CHEAP, ONE_AT_A_TIME, PRIVATE, Shared, caption, fetch_file, hidden_text, outputs, shown

NAME = "refine"
FIRST = "sam-nano+edges"
FILE = "refined-file"


@dataclass(frozen=True)
class Refine:
    """Components of the tab; `found` holds what is shown once there is a refined result."""

    refiner: gr.Dropdown
    mode: gr.Radio
    fetch: gr.Button
    fetch_news: gr.HTML
    go: gr.Button
    stop: gr.Button
    news: gr.HTML
    found: gr.Column
    slider: gr.ImageSlider
    share: gr.HTML
    boundaries: gr.Image
    classes: gr.HTML
    component_table: gr.HTML
    components: gr.CheckboxGroup
    download: gr.Button
    file: gr.DownloadButton
    refinement: gr.State
    token: gr.Textbox


def draw() -> Refine:
    """Put the components where the caller stands."""
    gr.HTML(presenters.START, padding=False)
    refiner = gr.Dropdown(presenters.refiners({}), value=FIRST, label="Refiner", filterable=False, elem_id="refiner")
    mode = gr.Radio(presenters.modes(), value=REFINE_MODES[0], label="How SAM is asked", elem_id="refine-mode")
    fetch = gr.Button("Fetch", visible=False, elem_id="refine-fetch")
    fetch_news = gr.HTML("", elem_id="refine-fetch-news", padding=False)
    with gr.Row():
        go = gr.Button("Refine", variant="primary", elem_id="refine-go", scale=3, min_width=160)
        stop = gr.Button("Stop", elem_id="refine-stop", scale=1, min_width=70)
    news = gr.HTML(presenters.EMPTY, elem_id="refine-news", min_height=30, padding=False)
    with gr.Column(visible=False) as found:
        parts = _results()
    return Refine(
        refiner=refiner,
        mode=mode,
        fetch=fetch,
        fetch_news=fetch_news,
        go=go,
        stop=stop,
        news=news,
        found=found,
        file=gr.DownloadButton("Download", visible="hidden", elem_id=FILE),  # not in a column: that would show it
        refinement=gr.State(None),
        token=hidden_text("refine-token"),
        **parts,
    )


def wire(tab: Refine, opened: gr.Tab, shared: Shared, stop: gr.Button, handlers: RefineHandlers) -> None:
    """Events of this tab; `stop` is the page's own button, which ends what runs here too."""
    offer: dict[str, Any] = {"fn": handlers.offer, "inputs": tab.refiner, "outputs": outputs(tab, OfferView), **CHEAP}
    gr.on([opened.select, tab.refiner.input], **offer)
    fetching = tab.fetch.click(
        handlers.fetch,
        tab.refiner,
        tab.fetch_news,
        show_progress="hidden",
        concurrency_limit=1,
        concurrency_id="load",  # beside the model's own place: a long download must not hold up results
        **PRIVATE,
    )
    fetching.success(**offer)
    everything = [*outputs(tab, RefineView), *outputs(tab, BetterView)]
    running = tab.go.click(
        handlers.refine,
        [shared.run, shared.image, tab.refiner, tab.mode],
        everything,
        show_progress="hidden",
        **ONE_AT_A_TIME,
        **PRIVATE,
    )
    choosing = tab.components.input(
        handlers.choose,
        [tab.refinement, tab.token, shared.image, tab.components],
        outputs(tab, BetterView),
        trigger_mode="always_last",
        show_progress="hidden",
        **ONE_AT_A_TIME,
        **PRIVATE,
    )
    made = tab.download.click(
        handlers.download,
        [tab.refinement, shared.image],
        outputs(tab, DownloadView),
        show_progress="hidden",
        **ONE_AT_A_TIME,
        **PRIVATE,
    )
    made.success(None, None, None, js=fetch_file(FILE), **PRIVATE)
    tab.stop.click(handlers.fetch_stopped, tab.fetch_news, tab.fetch_news, cancels=[fetching], **CHEAP)
    gr.on([tab.stop.click, stop.click], handlers.stopped, tab.news, tab.news, cancels=[running], **CHEAP)
    shared.image.input(handlers.stopped, tab.news, tab.news, cancels=[running, choosing], **CHEAP)
    # A refined result belongs to what was shown when it was made. Nothing is cancelled here: this event may come late,
    # when Refine has been pressed for the new result.
    shared.token.change(handlers.forget, [tab.refinement, shared.run], everything, **CHEAP)


def _results() -> dict[str, Any]:
    """What is shown once there is a refined result."""
    caption("Left: before · right: after")
    slider = gr.ImageSlider(
        label="Before and after",
        show_label=False,
        format="jpeg",
        interactive=False,
        max_height=420,
        buttons=["fullscreen"],
        elem_id="refine-slider",
    )
    share = gr.HTML("", elem_id="refine-share", min_height=30, padding=False)
    boundaries = shown("Boundaries before and after", "refine-boundaries", "png", height=380)
    gr.HTML(presenters.KEY, padding=False)
    caption("Pixels that each class gained and lost")
    classes = gr.HTML("", elem_id="refine-classes", padding=False)
    caption("Components, and what became of SAM's masks")
    return {
        "slider": slider,
        "share": share,
        "boundaries": boundaries,
        "classes": classes,
        "component_table": gr.HTML("", elem_id="refine-component-table", padding=False),
        "components": gr.CheckboxGroup(
            [],
            label="Components that take SAM's mask",
            info=presenters.COMPONENTS_INFO,
            visible=False,
            elem_id="refine-components",
        ),
        "download": gr.Button(presenters.DOWNLOAD, elem_id="refine-download"),
    }
