"""The head of the page: which model runs, and one click to a better one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from demo.handlers.model import HeadView, ModelHandlers, OfferedView
from demo.tabs.common import PRIVATE, outputs

TITLE_HTML = (
    '<a class="skip" href="#words">Skip to the words</a><h1>CLIPtrase Lab</h1>'
    "<p>Cut a picture into parts with nothing but words, and see why. "
    '<a href="https://arxiv.org/abs/2407.08268" target="_blank" rel="noopener">Paper</a></p>'
)


@dataclass(frozen=True)
class Head:
    """Components of the head; `model` is the page's own, which loading changes too."""

    banner: gr.HTML
    offer: gr.Button
    stop: gr.Button
    model: gr.State

    @property
    def shown(self) -> list[Any]:
        """What says which model runs, in the order of `HeadView`."""
        return outputs(self, HeadView)


def draw(banner: str) -> Head:
    """Put the components where the caller stands.

    Args:
        banner: HTML, what runs now.
    """
    with gr.Row(elem_id="head"):
        gr.HTML(TITLE_HTML, padding=False, elem_id="title")
        said = gr.HTML(banner, padding=False, elem_id="banner")
        offer = gr.Button("", visible=False, variant="primary", size="sm", elem_id="head-load", scale=0, min_width=230)
        stop = gr.Button("Stop", visible=False, size="sm", elem_id="head-stop", scale=0, min_width=90)
    return Head(said, offer, stop, gr.State(None))


def wire(head: Head, handlers: ModelHandlers) -> None:
    """Events of the head; that another model makes a new result is wired where the page is."""
    loading = head.offer.click(
        handlers.load_offered,
        head.model,
        outputs(head, OfferedView),
        show_progress="hidden",
        concurrency_limit=1,
        concurrency_id="load",  # beside the model's own place: a long download must not hold up results
        **PRIVATE,
    )
    head.stop.click(
        handlers.head_stopped, None, head.shown, cancels=[loading], queue=False, show_progress="hidden", **PRIVATE
    )
