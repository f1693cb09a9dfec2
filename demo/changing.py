"""What is shown of a result changes: coarse or refined, what a person fixes by hand, and both on the next result."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Generator, Iterator, Mapping
from typing import Any, NamedTuple

import gradio as gr
import numpy as np

from cliptrase_core.cancel import Cancelled
from demo import core
from demo.errors import UserError
from demo.handling import followed, one_of, plainly, same, whole
from demo.html import percent, strip
from demo.service import Refinement, Run, SegmentView, Service, Shown
from demo.service.refine import MEGABYTES
from demo.service.shown import carried, shown_of, stepped
from demo.settings import REFINE_MODES
from demo.tabs.common import QUIET, Shared, outputs
from demo.tabs.result import Result, ResultView, drawn, failed, legend_table, shares


class ChangeView(NamedTuple):
    """New values while what is shown changes, and once it has, by the components' names."""

    result: Any
    legend: Any
    point: Any
    status: Any
    shown: Any
    due: Any


def how(shown: Shown) -> str:
    """Plain text: what is shown."""
    fixes = len(shown.fixes)
    base = f"Refined by {shown.refinement.refiner}" if shown.refinement else "Coarse"
    return f"{base}{f', {fixes} fix' + ('es' if fixes > 1 else '') if fixes else ''}:"


_BACK = {"undo": "Fix taken back", "clear": "All fixes taken back"}


def became(before: SegmentView, after: SegmentView, asked: Mapping[str, Any]) -> str:
    """Plain text: what the last step, as the browser asked for it, changed."""
    moved = before.labels != after.labels
    back = next((said for name, said in _BACK.items() if asked.get(name) is True), "")
    if not moved.any():
        return f"{back}: nothing changed." if back else "Nothing changed."
    part = html.unescape(percent(float(moved.mean())))  # plain text
    if back:
        return f"{back}: {part} of the picture changed."
    new = {after.result.class_names[label] for label in np.unique(after.labels[moved])}
    return f"{part} of the picture became {new.pop()}." if len(new) == 1 else f"{part} of the picture changed."


def state_of(shown: Shown) -> dict[str, Any]:
    """What the browser must know of what is shown, besides its labels."""
    return {
        "kind": "refined" if shown.refinement else "coarse",
        "fixes": len(shown.fixes),
        "undone": len(shown.undone),
        "changed": shown.changed,
        "said": "",
    }


def made(service: Service, what: Shown, path: str | None) -> Generator[ChangeView, None, SegmentView]:
    """Make what is to be shown, and yield what shows each step; errors as in `Service.shown`."""
    cut, _ = yield from followed(
        lambda tell: service.shown(what, path, tell),
        lambda _, said: same(ChangeView)._replace(status=strip("busy", "Working:", f"{said}.")),
    )
    return cut


def changed(cut: SegmentView, what: Shown, status: str, *, seq: int = 0, said: str = "") -> ChangeView:
    """What shows a changed result.

    Args:
        cut: as it is now.
        what: it is.
        status: HTML.
        seq: number of the browser's question that is answered.
        said: plain text beside the result.
    """
    return ChangeView(
        result={**drawn(cut), **state_of(what), "of": what.run.token, "seq": seq, "said": said},
        legend=legend_table(cut),
        point="",
        status=status,
        shown=what,
        due=False,
    )


class ChangeHandlers:
    """One method for each event that changes what is shown; keeps nothing of any visitor."""

    def __init__(self, service: Service) -> None:
        """Serve pages from one service."""
        self._service = service

    @plainly
    def change(
        self,
        run: Run | None,
        path: str | None,
        shown: Shown | None,
        refiner: Any,
        mode: Any,
        refinement: Refinement | None,
        event: gr.EventData,
    ) -> Iterator[ChangeView]:
        """Coarse or refined was chosen, or something was fixed or taken back.

        What belongs to a result that is no longer shown is ignored.

        Args:
            run: what was segmented.
            path: the picture's file.
            shown: what became of it so far.
            refiner: as the Refine tab has it.
            mode: as that tab has it.
            refinement: what that tab shows, with masks that were chosen by hand.
            event: what the browser asks; see static/fix.js.
        """
        asked = event._data if isinstance(event._data, dict) else {}
        if run is None or asked.get("of") != run.token:
            yield same(ChangeView)
            return
        seq = whole("seq", asked.get("seq"), 0)
        before = shown_of(run, shown)
        try:
            before, _ = carried(shown, self._service.again(run, path))
            name, way = one_of("refiner", refiner, tuple(MEGABYTES)), one_of("mode", mode, REFINE_MODES)
            after = stepped(before, asked, name, way, refinement)
            if "fix" in asked:
                after = self._aimed(after, self._service.shown(before, path)[0])
            cut = yield from made(self._service, after, path)
        except (UserError, Cancelled) as error:  # said beside the result: a toast would go again
            unchanged = {**state_of(before), "of": run.token, "seq": seq}
            yield same(ChangeView)._replace(result=unchanged, status=failed(str(error)))
            return
        said = "" if "refined" in asked else became(self._service.shown(before, path)[0], cut, asked)
        yield changed(cut, after, strip("calm", how(after), f"{shares(cut)}."), seq=seq, said=said)

    @staticmethod
    def _aimed(after: Shown, cut: SegmentView) -> Shown:
        """A last fix that takes something away names what it takes from: on another result it takes nothing else."""
        *others, one = after.fixes
        if one.class_name is not None:
            return after
        aimed = dataclasses.replace(one, from_class=core.refine.class_at(cut.result, one.points[0]))
        return dataclasses.replace(after, fixes=(*others, aimed))

    @plainly
    def take(
        self, run: Run | None, path: str | None, shown: Shown | None, refinement: Refinement | None
    ) -> Iterator[ChangeView]:
        """The Refine tab has made something: that is what is shown now, and fixed as before."""
        if run is None or refinement is None or refinement.run != run:
            yield same(ChangeView)
            return
        what = dataclasses.replace(carried(shown, self._service.again(run, path))[0], refinement=refinement)
        try:
            cut = yield from made(self._service, what, path)
        except (UserError, Cancelled) as error:
            yield same(ChangeView)._replace(status=failed(str(error)))
            return
        yield changed(cut, what, strip("calm", how(what), f"{shares(cut)}."))

    @plainly
    def restore(self, run: Run | None, path: str | None, shown: Shown | None, due: bool) -> Iterator[ChangeView]:
        """After a result: it is refined and fixed as the last one of the same picture was.

        Args:
            run: of the result, which is shown coarse.
            path: the picture's file.
            shown: what became of the last result.
            due: whether the result is new; after words that cannot be read it is the last one.
        """
        if run is None or due is not True:
            yield same(ChangeView)
            return
        what, lost = carried(shown, self._service.again(run, path))
        if what == Shown(run) and not lost:
            yield same(ChangeView)._replace(shown=what, due=False)
            return
        try:
            cut = yield from made(self._service, what, path)
        except (UserError, Cancelled) as error:
            text = f"The result is coarse, and as it was before it was fixed. {error}"
            yield same(ChangeView)._replace(status=failed(text), shown=Shown(run), due=False)
            return
        yield changed(cut, what, strip("note" if lost else "calm", how(what), f"{shares(cut)}. {lost}".strip()))


def places_of(settings: Mapping[str, Any], result: Result, shared: Shared, **own: gr.State) -> dict[str, Any]:
    """What has a new value where a result is brought back with its picture, words and settings.

    Args:
        settings: components by the names of `reopen.SETTINGS` and of `further_options`.
        result: whose components change.
        shared: picture and run.
        own: further places, by their names.
    """
    shown = {name: getattr(result, name) for name in ResultView._fields}
    return {**settings, **shown, "image": shared.image, **own}


def wire(result: Result, shared: Shared, refining: list[Any], handlers: ChangeHandlers) -> Any:
    """Wire what the browser asks of the result.

    Args:
        result: whose components change.
        shared: picture and run.
        refining: the Refine tab's refiner, mode and State of what it made.
        handlers: of these events.

    Returns:
        The event, for whoever must end it.
    """
    return result.result.apply(
        handlers.change,
        [shared.run, shared.image, result.shown, *refining],
        outputs(result, ChangeView),
        trigger_mode="multiple",  # in line: who clicks fast loses no click
        **QUIET,
    )


def wire_restoring(made: Any, result: Result, shared: Shared, handlers: ChangeHandlers) -> Any:
    """What follows a result that an event has made; the event, for whoever must end it."""
    places = [shared.run, shared.image, result.shown, result.due]
    return made.success(handlers.restore, places, outputs(result, ChangeView), trigger_mode="always_last", **QUIET)


def wire_taking(made: Any, result: Result, shared: Shared, refinement: gr.State, handlers: ChangeHandlers) -> Any:
    """What follows an event of the Refine tab that has made `refinement`; the event, for whoever must end it."""
    places = [shared.run, shared.image, result.shown, refinement]
    return made.success(handlers.take, places, outputs(result, ChangeView), trigger_mode="always_last", **QUIET)
