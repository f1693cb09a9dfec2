"""Review of a finished picture of the queue: shows its result for fixing, with the words and settings that made it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import gradio as gr

from cliptrase_core.cancel import Cancelled
from demo.changing import ChangeView, changed, made, places_of
from demo.errors import UserError
from demo.handling import errors_as_messages, same, whole
from demo.html import strip
from demo.reopen import values_of
from demo.service import DisplayState, Run, SegmentView, Service
from demo.service.batch import DONE, Batch, Item, remembered, reviewed
from demo.service.refine import loss
from demo.tabs import batch as queue
from demo.tabs import result
from demo.tabs.common import PRIVATE, QUIET, Shared, outputs
from demo.tabs.result import SegmentHandlers, failed, shares

OPENING = strip("busy", "Opening.", "The picture comes out of the queue.")
GONE = "This picture is not done, or was taken out of the queue. Press Segment all."


class ReviewHandlers:
    """Handlers of the events of reviewing, one method per event; stores no data of visitors."""

    def __init__(self, service: Service, results: SegmentHandlers) -> None:
        """Serve pages from one service; `results` makes the views of its results."""
        self._service, self._results = service, results

    @errors_as_messages
    def open(self, batch: Batch | None, event: gr.SelectData) -> dict[str, Any]:
        """Open a clicked picture of the queue. Return new values by component name; errors appear in the status."""
        try:
            index = whole("picture", event.index, 0)
            if batch is None or batch.request is None or index >= len(batch.items) or batch.items[index].state != DONE:
                raise UserError(GONE)
            item, request = batch.items[index], batch.request.segment_request
            view = self._service.segment(item.path, request)
        except UserError as error:
            return {"status": failed(str(error)), "wanted": None}
        made_there = batch.request.made(view.run)
        return {
            **values_of(request, automatic=request.own_clustering is None),
            **self._results.view(view, item.path)._asdict(),
            "image": item.path,
            "status": OPENING if made_there.refinement else opened_status(item.file, view),
            "wanted": (item, made_there),
        }

    @errors_as_messages
    def refine(
        self,
        run: Run | None,
        path: str | None,
        wanted: tuple[Item, DisplayState] | None,
        shown: DisplayState | None = None,
    ) -> Iterator[ChangeView]:
        """Refine the boundaries of the result, if the batch was refined, and apply the picture's former fixes.

        Args:
            run: run of the new result, which is shown coarse.
            path: file of the picture.
            wanted: picture of the queue, and the state that the batch made.
            shown: state of the last result.
        """
        if run is None or wanted is None or wanted[1].run != run:
            yield same(ChangeView)
            return
        item, made_there = wanted
        plain = shown.coarse() if shown is not None and shown.run == run else shown
        try:
            state, lost = reviewed(made_there, remembered(item, shown), self._service.again(run, path))
            if not (state.changed or state.aside):
                yield same(ChangeView)._replace(shown=state, due=False)
                return
            view = yield from made(self._service, state, path)
        except (UserError, Cancelled) as error:
            text = f"The result is coarse. {error}"
            yield same(ChangeView)._replace(status=failed(text), shown=plain, due=False)
            return
        yield changed(
            view, state, opened_status(item.file, view, f"{state.how}:" if state.fixes or state.aside else "", lost)
        )


def opened_status(name: str, view: SegmentView, state: str = "", lost: str = "") -> str:
    """Return HTML with the name of the shown picture of the batch, and its classes.

    Args:
        name: name of the picture.
        view: result of the picture.
        state: plain text about its fixes.
        lost: plain text about fixes that do not fit.
    """
    notes = [note for note in (loss(view.result), lost.strip()) if note]
    text = " ".join([f"{name}.", *([state] if state else []), f"{shares(view)}.", *notes])
    return strip("note" if notes else "calm", "From the batch:", text)


def wire(
    tab: queue.BatchTab, settings: dict[str, Any], shown: result.Result, shared: Shared, handlers: ReviewHandlers
) -> tuple[Any, Any]:
    """Wire the queue's pictures. Return the events that may run long.

    Args:
        tab: tab with the queue.
        settings: components by the names of `reopen.SETTINGS` and of `further_options`.
        shown: components of the result.
        shared: components of the picture and the run.
        handlers: handlers of these events.
    """
    wanted = gr.State(None)
    places = places_of(settings, shown, shared, wanted=wanted)

    def opened(batch: Batch | None, event: gr.SelectData) -> dict[Any, Any]:
        return {places[name]: value for name, value in handlers.open(batch, event).items()}

    tab.queue.select(
        None, None, shown.status, js=f"() => {{ lab.started(); return {json.dumps(OPENING)}; }}", **PRIVATE
    )
    reviewed = tab.queue.select(opened, tab.batch, [*places.values()], **QUIET)
    places_read = [shared.run, shared.image, wanted, shown.shown]
    refined = reviewed.success(handlers.refine, places_read, outputs(shown, ChangeView), **QUIET)
    refined.success(None, None, None, js="() => lab.reviewed()", **PRIVATE)
    return reviewed, refined
