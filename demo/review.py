"""A finished picture of the queue in the result above, with the words and settings that made it: to look at, to fix."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import gradio as gr

from demo.changing import ChangeView, changed, made, places_of
from demo.errors import UserError
from demo.handling import plainly, same, whole
from demo.html import strip
from demo.reopen import values_of
from demo.service import Run, SegmentView, Service, Shown
from demo.service.batch import DONE, Batch
from demo.tabs import batch as queue
from demo.tabs import result
from demo.tabs.common import PRIVATE, QUIET, Shared, outputs
from demo.tabs.result import SegmentHandlers, failed, shares

OPENING = strip("busy", "Opening.", "The picture comes out of the queue.")
GONE = "This picture is not done, or was taken out of the queue. Press Segment all."


class ReviewHandlers:
    """One method for each event; keeps nothing of any visitor."""

    def __init__(self, service: Service, results: SegmentHandlers) -> None:
        """Serve pages from one service; `results` shows what it makes."""
        self._service, self._results = service, results

    @plainly
    def open(self, batch: Batch | None, event: gr.SelectData) -> dict[str, Any]:
        """A picture of the queue was clicked: new values by the components' names; errors stand in the status."""
        try:
            index = whole("picture", event.index, 0)
            if batch is None or batch.request is None or index >= len(batch.items) or batch.items[index].state != DONE:
                raise UserError(GONE)
            item, asked = batch.items[index], batch.request.asked
            cut = self._service.segment(item.path, asked)
        except UserError as error:
            return {"status": failed(str(error)), "wanted": None}
        refinement = batch.request.refinement(cut.run)
        return {
            **values_of(asked, automatic=asked.eps is None),
            **self._results.view(cut, item.path)._asdict(),
            "image": item.path,
            "status": OPENING if refinement else told(item.file, cut),
            "wanted": (item.file, Shown(cut.run, refinement)) if refinement else None,
        }

    @plainly
    def refine(self, run: Run | None, path: str | None, wanted: tuple[str, Shown] | None) -> Iterator[ChangeView]:
        """After the result: its boundaries are refined, where those of the batch were."""
        if run is None or wanted is None or wanted[1].run != run:
            yield same(ChangeView)
            return
        name, what = wanted
        try:
            cut = yield from made(self._service, what, path)
        except UserError as error:
            yield same(ChangeView)._replace(status=failed(f"The result is coarse. {error}"))
            return
        yield changed(cut, what, told(name, cut))


def told(name: str, cut: SegmentView) -> str:
    """HTML: which picture of the batch is shown, and its classes."""
    return strip("calm", "From the batch:", f"{name}. {shares(cut)}.")


def wire(
    tab: queue.BatchTab, settings: dict[str, Any], shown: result.Result, shared: Shared, handlers: ReviewHandlers
) -> tuple[Any, Any]:
    """Wire the queue's pictures; the events that may run long.

    Args:
        tab: whose queue it is.
        settings: components by the names of `reopen.SETTINGS` and of `further_options`.
        shown: components of the result.
        shared: picture and run.
        handlers: of these events.
    """
    wanted = gr.State(None)
    places = places_of(settings, shown, shared, wanted=wanted)

    def opened(batch: Batch | None, event: gr.SelectData) -> dict[Any, Any]:
        return {places[name]: value for name, value in handlers.open(batch, event).items()}

    tab.queue.select(
        None, None, shown.status, js=f"() => {{ lab.started(); return {json.dumps(OPENING)}; }}", **PRIVATE
    )
    reviewed = tab.queue.select(opened, tab.batch, [*places.values()], **QUIET)
    refined = reviewed.success(handlers.refine, [shared.run, shared.image, wanted], outputs(shown, ChangeView), **QUIET)
    return reviewed, refined
