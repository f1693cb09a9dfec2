"""The Guided tour tab: five steps, each computed when it is opened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from demo.handlers.tour import TourHandlers, TourView
from demo.presenters import tour as presenters
from demo.tabs.common import ONE_AT_A_TIME, PRIVATE, outputs

NAME = "tour"


@dataclass(frozen=True)
class Tour:
    """Components of the tab."""

    text: gr.HTML
    left_caption: gr.HTML
    left: gr.Image
    right_caption: gr.HTML
    right: gr.Image
    back: gr.Button
    forward: gr.Button
    take: gr.Button
    number: gr.State


def draw() -> Tour:
    """Put the components where the caller stands."""
    text = gr.HTML(presenters.START, elem_id="tour-text", min_height=150, padding=False)
    with gr.Row():
        with gr.Column(min_width=240):
            left_caption, left = _picture("left")
        with gr.Column(min_width=240):
            right_caption, right = _picture("right")
    with gr.Row():
        back = gr.Button("Back", elem_id="tour-back", min_width=90, interactive=False)
        forward = gr.Button("Next", variant="primary", elem_id="tour-next", min_width=90)
        take = gr.Button("Take this picture over", elem_id="tour-take", min_width=160)
    return Tour(text, left_caption, left, right_caption, right, back, forward, take, gr.State(1))


def wire(tab: Tour, opened: gr.Tab, handlers: TourHandlers) -> None:
    """Events of this tab alone; what taking the picture over leads to is wired where the page is."""
    show: dict[str, Any] = {
        "inputs": [tab.number],
        "outputs": outputs(tab, TourView),
        "show_progress_on": [tab.right],
        **ONE_AT_A_TIME,
        **PRIVATE,
    }
    opened.select(handlers.start, **show)
    tab.back.click(handlers.back, **show)
    tab.forward.click(handlers.forward, **show)


def _picture(side: str) -> tuple[gr.HTML, gr.Image]:
    caption = gr.HTML("", padding=False)
    options: dict[str, Any] = {"show_label": False, "interactive": False, "format": "jpeg", "height": 300}
    return caption, gr.Image(label=side, buttons=["fullscreen"], elem_id=f"tour-{side}", **options)
