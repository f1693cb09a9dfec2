"""The Guided tour tab: five steps, each computed when it is opened; the text contains the computed numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import gradio as gr

from demo.handling import errors_as_messages, whole
from demo.html import caption, percent, seconds
from demo.service import Service
from demo.service.tour import STEPS, TourStep, tour_step
from demo.tabs.common import ONE_AT_A_TIME, PRIVATE, outputs

__all__ = ["CAPTIONS", "START", "caption", "step_text"]

TITLES = (
    "A few patches draw everybody's attention",
    "Recovery: compare what patches are",
    "Clustering: patches that agree become a region",
    "Denoising: take away what everything shares",
    "Words: each region votes",
)
ALIKE = "No patch draws everybody's attention here"
"""Title of the first step if the layer has no global patch."""
CAPTIONS = (
    ("The picture in patches; ours is red", "Attention of our patch"),
    ("Before: its query-key attention", "After: its recovered attention"),
    ("Affinity: patches like ours", "Regions, found without any words"),
    ("Regions before", "Regions after"),
    ("CLIP alone", "CLIPtrase"),
)
START = (
    "<p>Five short steps show how a model that was only ever told <i>what</i> is in a picture also knows <i>where</i>. "
    "Each is computed when you open it, by the model named above.</p>"
)


def step_text(step: TourStep) -> str:
    """Return HTML: title, two or three sentences with the numbers of this run, and the duration."""
    body = (_attention, _recovery, _clusters, _denoising, _words)[step.number - 1](step.facts)
    return (
        f'<div class="tour"><p class="facts">Step {step.number} of {STEPS} · computed now in {seconds(step.seconds)}'
        f"</p><h2>{_title(step)}</h2><p>{body}</p></div>"
    )


def _title(step: TourStep) -> str:
    return ALIKE if step.number == 1 and not step.facts["global"] else TITLES[step.number - 1]


LITTLE = 0.02
"""Share of changed patches below which the text reports little change by denoising."""


def _attention(f: dict[str, float]) -> str:
    start = (
        f"CLIP cuts the picture into {f['patches']:.0f} patches, and in every layer each patch attends to all others. "
        "The patch outlined in red lies in the sky, like its neighbours. "
    )
    if not f["global"]:
        return (
            f"{start}Layer {f['layer']:.0f} of this model has no <b>global patch</b>, to which nearly every other "
            f"patch would attend: <b>{percent(f['before_near'])}</b> of its attention goes to its surroundings "
            f"({percent(f['near_uniform'])} would be uniform)."
        )
    return (
        f"{start}Yet in layer "
        f"{f['layer']:.0f} it gives <b>{percent(f['before_global'])}</b> of its attention to {f['global']:.0f} "
        f"<b>global patch{'es' if f['global'] > 1 else ''}</b> elsewhere (the strongest outlined in white), to which "
        "nearly every other patch attends too. Such attention says little about what belongs together."
    )


def _recovery(f: dict[str, float]) -> str:
    lost = f", the global patches <b>{percent(f['after_global'])}</b> instead of {percent(f['before_global'])}"
    return (
        "CLIPtrase compares the patches themselves: their queries with queries, keys with keys, values with values. "
        f"The surroundings of our patch (itself left out) now get <b>{percent(f['after_near'])}</b> instead of "
        f"{percent(f['before_near'])} "
        f"({percent(f['near_uniform'])} would be uniform){lost if f['global'] else ''}. "
        "The correlation was there all the time; this recovers it. Both maps have one scale, 0 to 4 times uniform."
    )


def _clusters(f: dict[str, float]) -> str:
    return (
        f"Patches with similar rows of correlation are put together (DBSCAN): <b>{f['regions']:.0f} regions</b> of "
        f"{f['patches']:.0f} patches, {percent(f['noise'])} of which belong to none: their pixels join the region that "
        "suits them best. No word has been used so far."
    )


def _denoising(f: dict[str, float]) -> str:
    little = " In this picture there was little to undo." if f["moved"] < LITTLE else ""
    decide = "global patches no longer decide" if f["global"] else "it no longer decides"
    return (
        "What two patches share only because both resemble the whole picture is subtracted, so that "
        f"{decide} what belongs together: {f['before']:.0f} regions before, <b>{f['regions']:.0f}</b> after. "
        f"<b>{percent(f['moved'])}</b> of the patches change their region, join or leave one. Regions of one colour "
        f"share most patches.{little}"
    )


def _words(f: dict[str, float]) -> str:
    return (
        "Only now come the words: every patch is compared with each of them, and every region takes the word that most "
        f"of its pixels chose. Compared with CLIP alone, <b>{percent(f['changed'])}</b> of the pixels changed. "
        "Now it is your turn: take this picture over, change the words, or use a picture of your own."
    )


class TourView(NamedTuple):
    """New values of the components of the tour, by component name."""

    text: Any
    left_caption: Any
    left: Any
    right_caption: Any
    right: Any
    back: Any
    forward: Any
    number: Any


class TourHandlers:
    """Event handlers of the tour, one method for each event; no visitor's data is stored."""

    def __init__(self, service: Service) -> None:
        """Use one service for all pages."""
        self._service = service

    @errors_as_messages
    def start(self, number: Any) -> TourView:
        """Handle opening of the tab: show the visitor's last step."""
        return self._show(max(1, whole("step", number)))

    @errors_as_messages
    def back(self, number: Any) -> TourView:
        """Handle Back: show the previous step."""
        return self._show(max(1, whole("step", number) - 1))

    @errors_as_messages
    def forward(self, number: Any) -> TourView:
        """Handle Next: show the next step."""
        return self._show(min(STEPS, whole("step", number) + 1))

    def _show(self, number: int) -> TourView:
        step = tour_step(self._service, number)
        left, right = CAPTIONS[number - 1]
        return TourView(
            text=step_text(step),
            left_caption=caption(left),
            left=gr.Image(step.left, alt_text=left),
            right_caption=caption(right),
            right=gr.Image(step.right, alt_text=right),
            back=gr.Button(interactive=number > 1),
            forward=gr.Button(interactive=number < STEPS),
            number=number,
        )


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
    """Create the components in the current Gradio layout context."""
    text = gr.HTML(START, elem_id="tour-text", min_height=150, padding=False)
    with gr.Row():
        with gr.Column(min_width=240):
            left_caption, left = _picture("left")
        with gr.Column(min_width=240):
            right_caption, right = _picture("right")
    with gr.Row():
        back = gr.Button("Back", min_width=90, interactive=False)
        forward = gr.Button("Next", variant="primary", elem_id="tour-next", min_width=90)
        take = gr.Button("Take this picture over", elem_id="tour-take", min_width=160)
    return Tour(text, left_caption, left, right_caption, right, back, forward, take, gr.State(1))


def wire(tab: Tour, opened: gr.Tab, handlers: TourHandlers) -> None:
    """Connect the events of this tab; the page itself connects the button "Take this picture over"."""
    show: dict[str, Any] = {
        "inputs": [tab.number],
        "outputs": outputs(tab, TourView),
        "show_progress_on": [tab.right],
        **ONE_AT_A_TIME,
        **PRIVATE,
    }
    started = opened.select(handlers.start, **show)
    for event in (started, tab.back.click(handlers.back, **show), tab.forward.click(handlers.forward, **show)):
        event.success(None, None, None, js="() => lab.showStep()", **PRIVATE)


def _picture(side: str) -> tuple[gr.HTML, gr.Image]:
    caption = gr.HTML("", padding=False)
    options: dict[str, Any] = {"show_label": False, "interactive": False, "format": "jpeg", "height": 300}
    return caption, gr.Image(label=side, buttons=["fullscreen"], elem_id=f"tour-{side}", **options)
