"""Better boundaries: what each event of the Refine tab does."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, NamedTuple

import gradio as gr

from demo import core
from demo.errors import UserError
from demo.figures.boundaries import boundaries, outlined
from demo.handlers.common import DownloadView, downloaded, followed, one_of, plainly, text, whole
from demo.presenters import refine as presenters
from demo.service import RefinedView, Refinement, Run, Service, bundle
from demo.service.refine import MEGABYTES, NO_MODEL, expect_here, fetch, is_here
from demo.settings import REFINE_MODES

NAMES = tuple(MEGABYTES)
OPACITY = 0.5
MOST_NUMBERS = 60
"""Components whose numbers are written into the picture, largest first."""


class OfferView(NamedTuple):
    """New values of the components that offer refiners, by the components' names."""

    refiner: Any
    mode: Any
    fetch: Any


class RefineView(NamedTuple):
    """New values while a result is refined, and once it is, by the components' names."""

    news: Any
    found: Any
    components: Any
    token: Any


class BetterView(NamedTuple):
    """New values of the components that show a refined result, by the components' names."""

    slider: Any
    share: Any
    boundaries: Any
    classes: Any
    component_table: Any
    refinement: Any


SAME = BetterView(*(gr.skip() for _ in BetterView._fields))
NOTHING = BetterView(None, "", None, "", "", None)


class RefineHandlers:
    """One method for each event of the tab; keeps nothing of any visitor."""

    def __init__(self, service: Service) -> None:
        """Serve pages from one service."""
        self._service = service

    @plainly
    def offer(self, refiner: Any) -> OfferView:
        """The tab was opened, or a refiner was picked: which weights are here, and what goes with the choice."""
        name = one_of("refiner", refiner, NAMES)
        here = {known: is_here(known) for known in NAMES}
        return OfferView(
            refiner=gr.Dropdown(presenters.refiners(here)),
            mode=gr.Radio(visible=name != NO_MODEL),
            fetch=gr.Button(presenters.fetch_label(name, MEGABYTES[name]), visible=not here[name]),
        )

    @plainly
    def fetch(self, refiner: Any) -> Iterator[Any]:
        """Fetch pressed: steps of the download."""
        name = one_of("refiner", refiner, NAMES)
        try:
            yield from followed(
                lambda tell: fetch(name, tell),
                lambda share, said: presenters.working(f"Fetching {name}", share, said),
            )
        except Exception:
            yield ""
            raise
        yield presenters.fetched(name)

    @plainly
    def fetch_stopped(self, news: Any) -> Any:
        """Stop was pressed: said only where something came in."""
        return presenters.FETCH_STOPPED if "busy" in text("news", news) else gr.skip()

    @plainly
    def refine(self, run: Run | None, path: str | None, refiner: Any, mode: Any) -> Iterator[tuple[Any, ...]]:
        """Refine pressed: steps of the work, then the result before and after."""
        if run is None:
            raise UserError("There is no result yet. Press Segment first.")
        name, way = one_of("refiner", refiner, NAMES), one_of("mode", mode, REFINE_MODES)
        expect_here(name)
        asked = Refinement(run, name, REFINE_MODES[0] if name == NO_MODEL else way)
        hidden = RefineView(gr.skip(), gr.Column(visible=False), gr.CheckboxGroup(visible=False), "")
        try:
            better: RefinedView = yield from followed(
                lambda tell: self._service.refine(asked, path, tell),
                lambda share, said: (*hidden._replace(news=presenters.working(f"{name}:", share, said)), *NOTHING),
            )
        except Exception:
            yield (*hidden._replace(news=presenters.EMPTY), *NOTHING)
            raise
        view = RefineView(presenters.news(better), gr.Column(visible=True), _choices(better), asked.token)
        yield (*view, *_view(better))

    @plainly
    def choose(self, refinement: Refinement | None, token: str, path: str | None, components: Any) -> BetterView:
        """A component was ticked or not: merged anew; what belongs to an older result is ignored."""
        if refinement is None or token != refinement.token:
            return SAME
        if not isinstance(components, list):
            raise UserError("components: expected a list of numbers, got something else. Tick those to be used.")
        keep = tuple(sorted({whole("component", component, 0) for component in components}))
        return _view(self._service.refine(dataclasses.replace(refinement, keep=keep), path))

    @plainly
    def stopped(self, news: Any) -> Any:
        """Stop was pressed, or another picture came: said only where something ran."""
        return presenters.STOPPED if "busy" in text("news", news) else gr.skip()

    @plainly
    def forget(self, refinement: Refinement | None, run: Run | None) -> tuple[Any, ...]:
        """Another result is there: what was refined goes, unless nothing was, or it is of that result already."""
        if refinement is None or refinement.run == run:
            return tuple(gr.skip() for _ in (*RefineView._fields, *BetterView._fields))
        gone = RefineView(presenters.EMPTY, gr.Column(visible=False), gr.CheckboxGroup([], value=[], visible=False), "")
        return (*gone, *NOTHING)

    @plainly
    def download(self, refinement: Refinement | None, path: str | None) -> Iterator[DownloadView]:
        """Download pressed: steps of the work, then the refined result as one archive."""
        if refinement is None:
            raise UserError("There is no refined result yet. Press Refine first.")
        yield from downloaded(
            lambda tell: bundle(self._service, refinement.run, path, refinement, tell), presenters.DOWNLOAD
        )


def _choices(better: RefinedView) -> Any:
    taken = [index for index, component in enumerate(better.refined.report.components) if component.accepted]
    return gr.CheckboxGroup(
        presenters.component_choices(better), value=taken, visible=bool(better.refined.report.components)
    )


def _view(better: RefinedView) -> BetterView:

    before, after, colours = better.before, better.after, core.viz.palette.label_colours(better.refined)
    shown = better.refined.report.components[:MOST_NUMBERS]
    numbers = [(i, component.point) for i, component in enumerate(shown, start=1)]
    left, right = (outlined(cut.shown, cut.labels, colours, OPACITY) for cut in (before, after))
    return BetterView(
        slider=(left, right),
        share=presenters.share(better),
        boundaries=boundaries(better.pixels, before.result.labels, after.result.labels, numbers),
        classes=presenters.class_table(better),
        component_table=presenters.component_table(better),
        refinement=better.asked,
    )
