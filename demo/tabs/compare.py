"""The Compare tab: one picture divided in several ways, two of them side by side, and a ground truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from demo.handlers.compare import CompareHandlers, CompareView, PairView, StoppedView
from demo.presenters import compare as presenters
from demo.tabs.common import CHEAP, ONE_AT_A_TIME, PRIVATE, Shared, caption, outputs, shown

NAME = "compare"


@dataclass(frozen=True)
class Compare:
    """Components of the tab; `found` holds what is shown once there are results."""

    other_words: gr.Textbox
    mask: gr.Image
    go: gr.Button
    stop: gr.Button
    news: gr.HTML
    gallery: gr.Gallery
    found: gr.Column
    before: gr.Dropdown
    after: gr.Dropdown
    between: gr.HTML
    slider: gr.ImageSlider
    share: gr.HTML
    changes: gr.Image
    areas: gr.HTML
    scores: gr.HTML
    errors_caption: gr.HTML
    errors: gr.Image
    comparison: gr.State


def draw() -> Compare:
    """Put the components where the caller stands."""
    gr.HTML(presenters.START, padding=False)
    other_words = gr.Textbox(
        label="Other words (optional)",
        info="One more result: the same picture divided among these. Classes are matched by name.",
        lines=1,
        max_lines=4,
        elem_id="other-words",
    )
    with gr.Accordion("Ground truth (optional)", open=False, elem_id="truth"):
        gr.HTML(presenters.TRUTH_TEXT, padding=False)
        mask = gr.Image(
            label="Ground truth",
            show_label=False,
            type="filepath",
            sources=["upload"],
            height=160,
            buttons=[],
            elem_id="mask",
        )
    with gr.Row():
        go = gr.Button("Compare", variant="primary", elem_id="compare-go", scale=3, min_width=160)
        stop = gr.Button("Stop", elem_id="compare-stop", scale=1, min_width=70)
    news = gr.HTML(presenters.EMPTY, elem_id="compare-news", min_height=30, padding=False)
    gallery = gr.Gallery(
        label="Results",
        show_label=False,
        columns=4,
        height="auto",
        object_fit="contain",
        allow_preview=False,
        buttons=[],
        format="jpeg",
        visible=False,
        elem_id="compare-gallery",
    )
    with gr.Column(visible=False) as found:
        parts = _results()
    return Compare(
        other_words=other_words,
        mask=mask,
        go=go,
        stop=stop,
        news=news,
        gallery=gallery,
        found=found,
        comparison=gr.State(None),
        **parts,
    )


def wire(tab: Compare, shared: Shared, stop: gr.Button, handlers: CompareHandlers) -> None:
    """Events of this tab; `stop` is the page's own button, which ends what runs here too."""
    pair: dict[str, Any] = {
        "fn": handlers.pair,
        "inputs": [tab.comparison, shared.image, tab.before, tab.after, tab.mask],
        "outputs": outputs(tab, PairView),
        "show_progress_on": [tab.changes],
        **ONE_AT_A_TIME,
        **PRIVATE,
    }
    running = gr.on(
        [tab.go.click, tab.other_words.submit],
        handlers.compare,
        [shared.run, shared.image, tab.other_words],
        outputs(tab, CompareView),
        show_progress="hidden",
        **ONE_AT_A_TIME,
        **PRIVATE,
    )
    paired = running.success(**pair)
    gr.on([tab.before.input, tab.after.input, tab.mask.upload, tab.mask.clear], **pair)
    tab.gallery.select(handlers.show, tab.comparison, tab.after, **CHEAP).success(**pair)
    gr.on(
        [tab.stop.click, stop.click, shared.image.input],
        handlers.stopped,
        tab.news,
        outputs(tab, StoppedView),
        cancels=[running, paired],
        **CHEAP,
    )
    # Results belong to what was shown when they were made. Nothing is cancelled here: new results wait in the same
    # line, and this event may come late, when Compare has been pressed for the new result.
    everything = [*outputs(tab, CompareView), *outputs(tab, PairView)]
    shared.token.change(handlers.forget, [tab.comparison, shared.run], everything, **CHEAP)
    shared.image.change(None, None, tab.mask, js="() => null", **PRIVATE)


def _results() -> dict[str, Any]:
    """What is shown once there are results."""
    with gr.Row():
        before = gr.Dropdown([], label="Left", min_width=150, elem_id="compare-before")
        after = gr.Dropdown([], label="Right", min_width=150, elem_id="compare-after")
    between = gr.HTML("", padding=False)
    slider = gr.ImageSlider(
        label="Left and right",
        show_label=False,
        format="jpeg",
        interactive=False,
        max_height=420,
        buttons=["fullscreen"],
        elem_id="compare-slider",
    )
    share = gr.HTML("", elem_id="compare-share", min_height=44, padding=False)
    changes = shown("Pixels whose class has another name, in yellow", "compare-changes", height=300)
    caption("Area of each class")
    areas = gr.HTML("", elem_id="compare-areas", padding=False)
    scores = gr.HTML("", elem_id="compare-scores", padding=False)
    errors_caption = gr.HTML("", padding=False)
    errors = gr.Image(
        label="Errors",
        show_label=False,
        format="jpeg",
        interactive=False,
        height=300,
        visible=False,
        buttons=["download", "fullscreen"],
        elem_id="compare-errors",
    )
    return {
        "before": before,
        "after": after,
        "between": between,
        "slider": slider,
        "share": share,
        "changes": changes,
        "areas": areas,
        "scores": scores,
        "errors_caption": errors_caption,
        "errors": errors,
    }
