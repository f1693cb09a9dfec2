"""Changes of the shown result: coarse or refined, fixes by hand, and their transfer to the next result."""

from __future__ import annotations

import dataclasses
import html
import math
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import gradio as gr
import numpy as np

from cliptrase_core.cancel import Cancelled
from cliptrase_core.names import MODES
from demo import core
from demo.errors import UserError
from demo.handling import errors_as_messages, followed, one_of, same, whole
from demo.html import percent, strip
from demo.service import DisplayState, Refinement, Run, SegmentView, Service
from demo.service.history import history_text, read_history
from demo.service.refine import MEGABYTES, loss
from demo.service.shown import apply_change, shown_of, transfer_changes
from demo.tabs.common import EACH, LAST, QUIET, Shared, outputs
from demo.tabs.result import Result, ResultView, drawn, failed, legend_table, one_class, shares

if TYPE_CHECKING:
    from cliptrase_core.refine import Fix

SAME_PLACE = 0.03
"""Distance of two clicks below which the second is one of a double click, in shares of the picture's sides."""
FROM_HISTORY = "(...values) => [...values.slice(0, 4), lab.changesInHistory()]"


class ChangeView(NamedTuple):
    """New values by component name, while the shown result changes and afterwards."""

    result: Any
    legend: Any
    point: Any
    status: Any
    shown: Any
    due: Any


def told(view: SegmentView, state: DisplayState, lost: str = "") -> str:
    """Return HTML: the state of the shown result in one line, and remarks.

    The remarks name classes that refinement took away (no longer after fixes, which may have done so), and give advice
    about a single class.

    Args:
        view: shown result.
        state: displayed state of the result.
        lost: plain text about fixes that do not fit.
    """
    notes = [note for note in ("" if state.fixes else loss(view.result), lost.strip(), one_class(view)) if note]
    return strip("note" if notes else "calm", f"{state.how}:", " ".join([f"{shares(view)}.", *notes]))


def _named(before: DisplayState, request: Mapping[str, Any]) -> str:
    """Return plain text that names a step back, or the removal of all fixes; empty for other steps."""
    if request.get("undo") is True:
        return "Fix taken back" if before.fixes or not before.removed else "Removed fixes are back"
    again = request.get("redo") is True and before.undone[-1:] == (None,)
    return "All fixes taken back" if again or request.get("clear") is True else ""


def _is_repeated(fixes: Sequence[Fix]) -> bool:
    """Return whether the last fix is the second of a double click: of the same class, and SAM is asked almost there."""
    of_class = {(one.sam, one.class_name, one.from_class) for one in fixes[-2:]}
    clicks = [one.points[0] for one in fixes[-2:] if one.sam is not None and len(one.points) == 1]
    return len(of_class) == 1 and len(clicks) == 2 and math.dist(*clicks) < SAME_PLACE


def became(before: SegmentView, after: SegmentView, step: str) -> str:
    """Return plain text about the effect of the last step; `step` names it if it needs a name."""
    moved = before.labels != after.labels
    if not moved.any():
        return f"{step}: nothing changed." if step else "Nothing changed."
    part = html.unescape(percent(float(moved.mean())))  # plain text
    if step:
        return f"{step}: {part} of the picture changed."
    new = {after.result.class_names[label] for label in np.unique(after.labels[moved])}
    return f"{part} of the picture became {new.pop()}." if len(new) == 1 else f"{part} of the picture changed."


def state_of(shown: DisplayState) -> dict[str, Any]:
    """Return the state of the shown result for the browser, without its labels."""
    return {
        "kind": "refined" if shown.refinement else "coarse",
        "fixes": len(shown.fixes),
        "undone": len(shown.undone),
        "aside": len(shown.aside),
        "removed": len(shown.removed),
        "changed": shown.changed,
        "history": history_text(shown),
        "said": "",
    }


def made(service: Service, state: DisplayState, path: str | None) -> Generator[ChangeView, None, SegmentView]:
    """Compute the result to show and yield a view of each step; raises the errors of `Service.shown`."""
    view, _ = yield from followed(
        lambda progress: service.shown(state, path, progress),
        lambda _, message: same(ChangeView)._replace(status=strip("busy", "Working:", f"{message}.")),
    )
    return view


def changed(view: SegmentView, state: DisplayState, status: str, *, seq: int = 0, message: str = "") -> ChangeView:
    """Return the view of a changed result.

    Args:
        view: result after the change.
        state: state of the result: run, refinement and fixes.
        status: text of the status line, HTML.
        seq: number of the browser's request.
        message: message beside the result, plain text.
    """
    return ChangeView(
        result={**drawn(view), **state_of(state), "of": state.run.token, "seq": seq, "said": message},
        legend=legend_table(view),
        point="",
        status=status,
        shown=state,
        due=False,
    )


class ChangeHandlers:
    """Handlers of the events that change the shown result, one method per event; stores no data of visitors."""

    def __init__(self, service: Service) -> None:
        """Serve pages from one service."""
        self._service = service

    @errors_as_messages
    def change(
        self,
        run: Run | None,
        path: str | None,
        shown: DisplayState | None,
        refiner: Any,
        mode: Any,
        refinement: Refinement | None,
        event: gr.EventData,
    ) -> Iterator[ChangeView]:
        """Handle a choice of coarse or refined, a fix, or an undo.

        Events of a result that is no longer shown are ignored.

        Args:
            run: run of the shown result.
            path: file of the picture.
            shown: state of the result before the event.
            refiner: setting of the Refine tab.
            mode: setting of the Refine tab.
            refinement: refinement on the Refine tab, with masks that were chosen by hand.
            event: request of the browser; see static/fix.js.
        """
        request = event._data if isinstance(event._data, dict) else {}
        if run is None or request.get("of") != run.token:
            yield same(ChangeView)
            return
        seq = whole("seq", request.get("seq"), 0)
        before = shown_of(run, shown)
        try:
            own = self._service.again(run, path)
            before, _ = transfer_changes(shown, own)
            name, way = one_of("refiner", refiner, tuple(MEGABYTES)), one_of("mode", mode, MODES)
            after = apply_change(before, request, name, way, refinement)
            if len(after.removed) < len(before.removed):  # removed fixes return
                after, _ = transfer_changes(after, own)
            if "fix" in request:
                after = self._aimed(after, self._service.shown(before, path)[0])
            view = yield from made(self._service, after, path)
        except (UserError, Cancelled) as error:  # shown beside the result: a toast would disappear
            unchanged = {**state_of(before), "of": run.token, "seq": seq}
            yield same(ChangeView)._replace(result=unchanged, status=failed(str(error)))
            return
        message = ""
        if "refined" not in request:
            earlier = self._service.shown(before, path)[0]
            message = became(earlier, view, _named(before, request))
            if "fix" in request and _is_repeated(after.fixes) and np.array_equal(view.labels, earlier.labels):
                after = before
        yield changed(view, after, told(view, after), seq=seq, message=message)

    @staticmethod
    def _aimed(after: DisplayState, view: SegmentView) -> DisplayState:
        """Add the removed class to a last fix that removes one, so that on another result it removes no other class."""
        *others, one = after.fixes
        if one.class_name is not None:
            return after
        aimed = dataclasses.replace(one, from_class=core.refine.class_at(view.result, one.aim))
        return dataclasses.replace(after, fixes=(*others, aimed))

    @errors_as_messages
    def take(
        self, run: Run | None, path: str | None, shown: DisplayState | None, refinement: Refinement | None
    ) -> Iterator[ChangeView]:
        """Show the new refinement of the Refine tab, with the same fixes as before."""
        if run is None or refinement is None or refinement.run != run:
            yield same(ChangeView)
            return
        state = dataclasses.replace(transfer_changes(shown, self._service.again(run, path))[0], refinement=refinement)
        try:
            view = yield from made(self._service, state, path)
        except (UserError, Cancelled) as error:
            yield same(ChangeView)._replace(status=failed(str(error)))
            return
        yield changed(view, state, told(view, state))

    @errors_as_messages
    def restore(
        self, run: Run | None, path: str | None, shown: DisplayState | None, due: bool, history: Any = ""
    ) -> Iterator[ChangeView]:
        """Refine and fix a new result in the same way as the last result of the same picture.

        Args:
            run: run of the new result, which is shown coarse.
            path: file of the picture.
            shown: state of the last result.
            due: True for a new result; words that cannot be parsed leave the last result in place.
            history: refinement and fixes from the browser's history; they count if this page has shown no result yet.
        """
        if run is None or due is not True:
            yield same(ChangeView)
            return
        state, lost = transfer_changes(
            read_history(history, run) if shown is None else shown, self._service.again(run, path)
        )
        if not (state.changed or state.undone or state.aside or state.removed or lost):
            yield same(ChangeView)._replace(shown=state, due=False)
            return
        try:
            view = yield from made(self._service, state, path)
        except (UserError, Cancelled) as error:
            fixes = " and without your fixes, which are kept" if state.fixes else ""
            text = f"The result is shown with coarse boundaries{fixes}. {error}"
            yield same(ChangeView)._replace(status=failed(text), shown=state.coarse(), due=False)
            return
        yield changed(view, state, told(view, state, lost))


def places_of(settings: Mapping[str, Any], result: Result, shared: Shared, **own: gr.State) -> dict[str, Any]:
    """Return the components that change when a result is restored with its picture, words and settings, by name.

    Args:
        settings: components by the names of `reopen.SETTINGS` and of `further_options`.
        result: components of the result.
        shared: components of the picture and the run.
        own: further components by name.
    """
    shown = {name: getattr(result, name) for name in ResultView._fields}
    return {**settings, **shown, "image": shared.image, **own}


def wire(result: Result, shared: Shared, refining: list[Any], handlers: ChangeHandlers) -> Any:
    """Wire the browser's requests to change the result.

    Args:
        result: components of the result.
        shared: components of the picture and the run.
        refining: refiner, mode and refinement State of the Refine tab.
        handlers: handlers of these events.

    Returns:
        The event, so that the caller can cancel it.
    """
    return result.result.apply(
        handlers.change,
        [shared.run, shared.image, result.shown, *refining],
        outputs(result, ChangeView),
        **EACH,
        **QUIET,
    )


def wire_restoring(made: Any, result: Result, shared: Shared, handlers: ChangeHandlers) -> Any:
    """Wire the refining and fixing of a result after the event `made`; return the new event, which can be cancelled."""
    places = [shared.run, shared.image, result.shown, result.due, result.history]
    return made.success(handlers.restore, places, outputs(result, ChangeView), js=FROM_HISTORY, **LAST, **QUIET)


def wire_taking(made: Any, result: Result, shared: Shared, refinement: gr.State, handlers: ChangeHandlers) -> Any:
    """Wire the display of a refinement after the Refine tab's event `made`; return the new event, to cancel it."""
    places = [shared.run, shared.image, result.shown, refinement]
    return made.success(handlers.take, places, outputs(result, ChangeView), **LAST, **QUIET)
