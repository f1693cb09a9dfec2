"""The guided tour: what its buttons do."""

from __future__ import annotations

from typing import Any, NamedTuple

import gradio as gr

from demo.handlers.common import plainly, whole
from demo.presenters import tour as presenters
from demo.service import Service
from demo.service.tour import STEPS, tour_step


class TourView(NamedTuple):
    """New values of the components of the tour, by the components' names."""

    text: Any
    left_caption: Any
    left: Any
    right_caption: Any
    right: Any
    back: Any
    forward: Any
    number: Any


class TourHandlers:
    """One method for each event of the tour; keeps nothing of any visitor."""

    def __init__(self, service: Service) -> None:
        """Serve pages from one service."""
        self._service = service

    @plainly
    def start(self, number: Any) -> TourView:
        """The tab was opened: the step where the person left."""
        return self._show(max(1, whole("step", number)))

    @plainly
    def back(self, number: Any) -> TourView:
        """Back pressed."""
        return self._show(max(1, whole("step", number) - 1))

    @plainly
    def forward(self, number: Any) -> TourView:
        """Next pressed."""
        return self._show(min(STEPS, whole("step", number) + 1))

    def _show(self, number: int) -> TourView:
        step = tour_step(self._service, number)
        left, right = presenters.CAPTIONS[number - 1]
        return TourView(
            text=presenters.step_text(step),
            left_caption=presenters.caption(left),
            left=gr.Image(step.left, alt_text=left),
            right_caption=presenters.caption(right),
            right=gr.Image(step.right, alt_text=right),
            back=gr.Button(interactive=number > 1),
            forward=gr.Button(interactive=number < STEPS),
            number=number,
        )
