"""Comparing results: what each event of the Compare tab does."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import gradio as gr
import numpy as np

from demo import core
from demo.errors import UserError
from demo.figures import views
from demo.figures.changes import marked
from demo.handlers.common import plainly, text
from demo.presenters import compare as presenters
from demo.service import Run, SegmentView, Service
from demo.service.compare import OTHER_WORDS, Comparison, Variant, class_names, cuts, own_name, variants, with_own
from demo.service.differences import difference, fold
from demo.service.ground_truth import read_truth, score

OPACITY = 0.6
THUMBNAIL = 480
"""Long side of a picture of the gallery."""
TELL_EVERY = 0.3
"""Seconds between two signs of progress."""

Pairs = list[tuple[Variant, SegmentView]]


class PairView(NamedTuple):
    """New values of the components that show two results, by the components' names."""

    between: Any
    slider: Any
    share: Any
    changes: Any
    areas: Any
    scores: Any
    errors_caption: Any
    errors: Any


class CompareView(NamedTuple):
    """New values while results are made, and once they are, by the components' names."""

    news: Any
    gallery: Any
    before: Any
    after: Any
    found: Any
    comparison: Any


class StoppedView(NamedTuple):
    """New values once nothing is awaited any longer, by the components' names."""

    news: Any
    gallery: Any


SAME = StoppedView(gr.skip(), gr.skip())
NO_PAIR = PairView("", None, "", None, "", "", "", None)


class CompareHandlers:
    """One method for each event of the tab; keeps nothing of any visitor."""

    def __init__(self, service: Service) -> None:
        """Serve pages from one service."""
        self._service = service

    @plainly
    def compare(self, run: Run | None, path: str | None, other_words: Any) -> Iterator[CompareView]:
        """Compare pressed: one result after the other, then two of them side by side."""
        if run is None:
            raise UserError("There is no result yet. Press Segment first.")
        mine = run.asked
        found = variants(mine, other_words=text("other words", other_words))
        comparison = Comparison(run, with_own(mine, found))
        unchanged = CompareView(*(gr.skip() for _ in CompareView._fields))
        hidden = gr.Column(visible=False)
        colours, small = _palette(comparison), _small(self._service.again(run, path).shown)
        pairs: Pairs = []
        painted: list[tuple[views.Picture, str]] = []
        made = cuts(self._service, path, comparison)
        told = 0.0
        for done, variant in enumerate(comparison.variants):
            if time.monotonic() - told > TELL_EVERY:
                told = time.monotonic()
                said = presenters.progress(done, len(comparison.variants), variant.title)
                yield unchanged._replace(news=said, gallery=_gallery(painted), found=hidden, comparison=None)
            _, cut = next(made)
            painted.append((_painted(cut, colours, small), variant.title))
            pairs.append((variant, cut))
        names = [variant.name for variant in comparison.variants]
        own = own_name(mine, comparison.variants) or names[-1]
        before, after = (own, OTHER_WORDS) if OTHER_WORDS in names else (names[0], own)
        if before == after:
            after = "cliptrase"
        choices = [(variant.title, variant.name) for variant in comparison.variants]
        yield CompareView(
            news=presenters.news(pairs),
            gallery=_gallery(painted),
            before=gr.Dropdown(choices, value=before),
            after=gr.Dropdown(choices, value=after),
            found=gr.Column(visible=True),
            comparison=comparison,
        )

    @plainly
    def pair(
        self, comparison: Comparison | None, path: str | None, before: Any, after: Any, mask: str | None
    ) -> PairView:
        """Two results were chosen, or a ground truth came or went."""
        if comparison is None:
            return NO_PAIR
        chosen = [comparison.variant(text("result", name)) for name in (before, after)]
        only = dataclasses.replace(comparison, variants=tuple(chosen))
        first, second = (cut for _, cut in cuts(self._service, path, only))
        colours = _palette(comparison)
        found = difference(first, second)
        shown = PairView(
            between=presenters.slider_text(*chosen),
            slider=(_painted(first, colours), _painted(second, colours)),
            share=presenters.changed_share(*chosen, found),
            changes=marked(first.shown, found.changed),
            areas=presenters.area_table(found, _hex(colours)),
            scores="",
            errors_caption="",
            errors=gr.Image(None, visible=False),
        )
        return self._scored(shown, comparison, path, chosen, mask) if mask else shown

    @plainly
    def show(self, comparison: Comparison | None, event: gr.SelectData) -> Any:
        """A picture of the gallery was clicked: it becomes the right one."""
        index = event.index
        if comparison is None:
            return gr.skip()
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(comparison.variants):
            raise UserError("There is no such result to compare. Press Compare again.")
        return comparison.variants[index].name

    @plainly
    def forget(self, comparison: Comparison | None, run: Run | None) -> tuple[Any, ...]:
        """Another result is there: what was compared goes, unless nothing was, or it is of that result already."""
        if comparison is None or comparison.run == run:
            return tuple(gr.skip() for _ in (*CompareView._fields, *PairView._fields))
        none, hidden = gr.Dropdown([], value=None), gr.Column(visible=False)
        return (*CompareView(presenters.EMPTY, gr.Gallery(None, visible=False), none, none, hidden, None), *NO_PAIR)

    @plainly
    def stopped(self, news: Any) -> StoppedView:
        """Stop was pressed, or another picture came: said only where something ran."""
        ran = "busy" in text("news", news)
        return StoppedView(presenters.STOPPED, gr.Gallery(None, visible=False)) if ran else SAME

    def _scored(
        self,
        shown: PairView,
        comparison: Comparison,
        path: str | None,
        chosen: list[Variant],
        mask: str,
    ) -> PairView:
        """The pair with what a ground truth says of it."""
        own = self._service.again(comparison.run, path)
        truth = read_truth(self._service, path, mask, own)
        scored = [(variant, score(truth, cut)) for variant, cut in cuts(self._service, path, comparison)]
        by_name = {variant.name: found for variant, found in scored}
        first, second = (by_name[variant.name] for variant in chosen)
        colours = _hex(_palette(comparison, own))
        return shown._replace(
            scores=presenters.scores(scored) + presenters.class_scores(truth, first, second, colours),
            errors_caption=presenters.errors_text(chosen[1]),
            errors=gr.Image(marked(own.shown, second.wrong, truth.labels < 0), visible=True),
        )


def _palette(comparison: Comparison, *cuts: SegmentView) -> dict[str, tuple[int, int, int]]:
    """One colour for each folded name of any result: "Dog" and "dog" are one class."""

    further = (name for cut in cuts for name in cut.result.class_names)
    return core.viz.palette.class_colours(fold(name) for name in (*class_names(comparison), *further))


def _hex(colours: dict[str, tuple[int, int, int]]) -> dict[str, str]:

    return {name: core.viz.palette.to_hex(colour) for name, colour in colours.items()}


def _painted(
    cut: SegmentView, colours: dict[str, tuple[int, int, int]], picture: views.Picture | None = None
) -> views.Picture:
    """A result over the shown picture, or over a smaller one."""

    table = np.array([colours[fold(name)] for name in cut.result.class_names], dtype=np.uint8)
    picture = cut.shown if picture is None else picture
    labels = core.io.geometry.nearest(cut.result.labels, picture.shape[:2])
    return core.viz.overlay.lay_over(picture, labels, table, "fill", OPACITY)


def _gallery(painted: list[tuple[views.Picture, str]]) -> Any:
    return gr.Gallery(painted, visible=bool(painted))


def _small(picture: views.Picture) -> views.Picture:
    scale = min(1.0, THUMBNAIL / max(picture.shape[:2]))
    return views.view(picture, (max(1, round(picture.shape[0] * scale)), max(1, round(picture.shape[1] * scale))))
