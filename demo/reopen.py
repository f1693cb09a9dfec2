"""Reopening of a downloaded archive: restores words, settings, picture, result, and fixes by hand."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

from cliptrase_core.cancel import Cancelled
from cliptrase_core.names import EDGES, NONE
from demo import core
from demo.changing import ChangeView, changed, made, places_of
from demo.errors import UserError
from demo.handling import (
    AUTO,
    BY_THRESHOLD,
    NO,
    NO_BACKGROUND,
    YES,
    Fields,
    errors_as_messages,
    further_options,
    same,
    save_archive,
)
from demo.html import percent, strip
from demo.model_facts import key_of
from demo.service import DisplayState, Run, SegmentRequest, SegmentView, Service
from demo.service.adding import content_of
from demo.service.opened import Opened, unpacked
from demo.service.saved import Saved, SavedBatch, packed_name, read_archive
from demo.service.shown import others_of, without
from demo.tabs import batch, result
from demo.tabs.common import PRIVATE, QUIET, Shared, outputs
from demo.tabs.result import SegmentHandlers, failed

OPEN = "Open a saved result (zip)"
NEARLY = 0.005
"""Tolerance for the share of a class in the picture: rounding differs between machines."""
SETTINGS = (*(name for name in Fields._fields if name != "model"), "example")
"""Names of the page's components that a saved result fills in."""


def values_of(request: SegmentRequest, *, automatic: bool) -> dict[str, Any]:
    """Return the values of the page's fields that lead to the same request."""
    locked: dict[str, Any] = {"interactive": not automatic}
    further = {one.name: getattr(request, one.name) for one in further_options()}
    return {
        "words": request.words,
        "background": BY_THRESHOLD if request.threshold else NO_BACKGROUND,
        "background_words": "",
        "threshold": request.threshold or gr.skip(),
        "method": request.method,
        "preset": request.preset,
        "short_side": AUTO if request.short_side is None else str(request.short_side),
        "templates": request.templates or AUTO,
        "image_prior": request.image_prior,
        "everything_else": request.everything_else,
        "everything_else_chosen": "yes",
        "skip_missing": request.skip_missing,
        "denoise": request.denoise,
        "automatic": automatic,
        "eps": gr.Slider(**locked) if automatic else gr.Slider(value=request.eps, **locked),
        "min_samples": gr.Slider(**locked) if automatic else gr.Slider(value=request.min_samples, **locked),
        "example": "",
        **{name: {True: YES, False: NO, None: AUTO}.get(value, value) for name, value in further.items()},
    }


def opened_status(saved: Saved, areas: dict[str, float], model: str) -> str:
    """Return HTML that describes the opened archive and compares the result with the saved one.

    Args:
        saved: content of the archive.
        areas: area of each class of the new result, as a share of the picture.
        model: key of the model of the new result.
    """
    parts = ["words", "settings", *(["refined boundaries"] if saved.refiner else [])]
    parts += ["masks taken by hand"] if saved.keep is not None else []
    parts += [core.errors.counted(len(saved.fixes), "fix", "fixes")] if saved.fixes else []
    what = f"{saved.picture} with its {', '.join(parts)}."
    names = {*saved.areas, *areas}
    off = max((abs(saved.areas.get(name, 0.0) - areas.get(name, 0.0)) for name in names), default=0.0)
    if off <= NEARLY:
        return strip("calm", "Opened:", f"{what} The result is the saved one.")
    why = (
        f"It was made by {saved.model}, this page runs {model}."
        if model != saved.model
        else "Other software versions made it."
    )
    return strip("note", "Opened:", f"{what} Classes differ by up to {percent(off, 0)} of the picture. {why}")


def opened_batch(opened: Opened, model: str) -> str:
    """Return HTML that describes the opened archive of a batch.

    Args:
        opened: content of the archive.
        model: key of the model that the page runs.
    """
    count, fixed = len(opened.results), opened.fixed
    text = f"a batch of {core.errors.counted(count, 'picture')}, {fixed or 'none'} with changes by hand."
    notes = [*opened.remarks]
    if model != opened.model:
        notes.append(f"It was made by {opened.model}, this page runs {model}: results may differ.")
    # Without remarks there is nothing to read here, so `lab.showQueue` scrolls down to the queue.
    return strip(
        "note" if notes else "calm", "Opened:", " ".join([text, "It is in the tab Batch.", *notes]),
        "" if notes else '<span class="in-queue"></span>',
    )  # fmt: skip


class ReopenHandlers:
    """Handlers of the events of reopening, one method per event; stores no data of visitors."""

    def __init__(self, service: Service, results: SegmentHandlers) -> None:
        """Serve pages from one service; `results` makes the views of its results."""
        self._service, self._results = service, results

    @errors_as_messages
    def open(
        self, archive: str | None, current: str | None, model: str | None, last: DisplayState | None = None
    ) -> dict[str, Any]:
        """Open an uploaded archive. Return new values by component name; errors appear in the status.

        Args:
            archive: path of the upload.
            current: path of the picture on the page.
            model: key of the model that the visitor chose, or None.
            last: state of the last result, which knows the fixes of other pictures.
        """
        try:
            saved = read_archive(archive)
            if isinstance(saved, SavedBatch):
                return self._batch(str(archive), saved, model, last)
            path = _picture(saved, current)
            view, automatic = self._made(saved, path, model)
        except UserError as error:
            return {"status": failed(str(error)), "saved": None}
        return {
            **values_of(saved.request, automatic=automatic),
            **self._results.view(view, path)._asdict(),
            "image": path,
            "shown": DisplayState(view.run, others=others_of(last, view.run)),
            "due": False,
            "status": opened_status(saved, _areas(view), view.run.key.model) if not saved.changed else _busy(),
            "saved": saved if saved.changed else None,
        }

    def _batch(self, archive: str, saved: SavedBatch, model: str | None, last: DisplayState | None) -> dict[str, Any]:
        """Unpack the pictures of a batch, for its queue. Return new values by component name."""
        running = key_of(self._service.models.segmenter(model))
        opened = unpacked(archive, saved, Path(get_upload_folder()))
        request, sam = opened.request, opened.refiner not in (NONE, EDGES)
        return {
            **values_of(request, automatic=request.own_clustering is None),
            "refiner": opened.refiner,
            "formats": opened.choice,
            "mode": opened.mode if sam else gr.skip(),
            "shown": without(last, {content_of(path) for path, _ in opened.results}),
            "status": opened_batch(opened, running),
            "saved": opened,
            "tabs": gr.Tabs(selected=batch.NAME),
        }

    def _made(self, saved: Saved, path: str, model: str | None) -> tuple[SegmentView, bool]:
        """Return the result, and whether its clustering values are the automatic ones for picture and model."""
        view = self._service.segment(path, replace(saved.automatic, model=model))
        found, request = view.result.settings, saved.request
        if tuple(found["original_size"]) != saved.size:
            raise _missing(saved)
        own = request.own_clustering
        if own is None:
            return view, True
        usual = math.isclose(found["eps"], own[0], rel_tol=1e-6) and found["min_samples"] == own[1]
        return (view, True) if usual else (self._service.segment(path, replace(request, model=model)), False)

    @errors_as_messages
    def change(
        self, run: Run | None, path: str | None, saved: Saved | Opened | None, last: DisplayState | None = None
    ) -> Iterator[ChangeView]:
        """Refine the boundaries of the new result and apply its fixes, if the archive contains any."""
        if run is None or not isinstance(saved, Saved):
            yield same(ChangeView)
            return
        state = replace(saved.shown(run), others=others_of(last, run))
        try:
            view = yield from made(self._service, state, path)
        except (UserError, Cancelled) as error:
            text = f"Words and settings are restored; the result has coarse boundaries and lacks your fixes. {error}"
            yield same(ChangeView)._replace(status=failed(text))
            return
        yield changed(view, state, opened_status(saved, _areas(view), run.key.model))


def draw() -> gr.UploadButton:
    """Draw the button at the current position of the layout."""
    return gr.UploadButton(
        OPEN, file_types=[".zip"], size="sm", type="filepath", elem_id="reopen", scale=0, min_width=240
    )


def of_batch(tab: batch.BatchTab, mode: Any, tabs: gr.Tabs) -> dict[str, Any]:
    """Return the components that the archive of a batch fills in, by name.

    Args:
        tab: components of the Batch tab; its `opened` also holds the archive of one result.
        mode: component of the Refine tab with the mode of a SAM.
        tabs: all tabs.
    """
    return {"refiner": tab.refiner, "formats": tab.formats, "mode": mode, "saved": tab.opened, "tabs": tabs}


def wire(
    button: gr.UploadButton, settings: dict[str, Any], model: gr.State, shown: result.Result, shared: Shared,
    handlers: ReopenHandlers,
) -> tuple[Any, Any]:  # fmt: skip
    """Wire the button. Return the events that may run long.

    Args:
        button: button from `draw`.
        settings: components by the names of `SETTINGS`, of `further_options` and of `of_batch`.
        model: State with the key of the model that the visitor chose.
        shown: components of the result.
        shared: components of the picture and the run.
        handlers: handlers of these events.
    """
    places = places_of(settings, shown, shared)
    saved = settings["saved"]

    def opened(*request: Any) -> dict[Any, Any]:
        return {places[name]: value for name, value in handlers.open(*request).items()}

    button.upload(
        None, None, shown.status, js=f"() => {{ lab.showOpened(); return {json.dumps(_busy())}; }}", **PRIVATE
    )
    reopened = button.upload(opened, [button, shared.image, model, shown.shown], [*places.values()], **QUIET)
    given = [shared.run, shared.image, saved, shown.shown]
    restored = reopened.success(handlers.change, given, outputs(shown, ChangeView), **QUIET)
    return reopened, restored


def _picture(saved: Saved, current: str | None) -> str:
    """Return the path of the picture: from the archive, or the picture on the page if it has the same name."""
    if saved.content is not None:
        return save_archive(packed_name(saved.picture), saved.content)
    if current is not None and packed_name(current) == packed_name(saved.picture):
        return current
    raise _missing(saved)


def _missing(saved: Saved) -> UserError:
    height, width = saved.size
    return UserError(
        f"The archive does not contain the picture. Choose {saved.picture} ({width} x {height} pixels), then open the "
        "archive again."
    )


def _areas(view: SegmentView) -> dict[str, float]:
    return {row.name: row.area for row in view.legend}


def _busy() -> str:
    return strip("busy", "Opening.", "The picture is being segmented again.")
