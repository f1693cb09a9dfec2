"""Segmenting: what each event around the result does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import gradio as gr

from demo import core
from demo.errors import UserError, for_people
from demo.figures.overlay import STYLES
from demo.handlers.common import DownloadView, downloaded, inside, number, one_of, plainly, point_of, read_asked
from demo.presenters import segment as presenters
from demo.service import Cut, Run, Service, bundle, point_at


class ResultView(NamedTuple):
    """New values of the components that show a result, by the components' names."""

    overlay: Any
    legend: Any
    costs: Any
    point: Any
    findings: Any
    run: Any
    token: Any


class SegmentHandlers:
    """One method for each event around the result; keeps nothing of any visitor."""

    def __init__(self, service: Service) -> None:
        """Serve pages from one service."""
        self._service = service

    @plainly
    def segment(self, path: str | None, style: Any, opacity: Any, *fields: Any) -> ResultView:
        """Segment pressed, or a setting changed."""
        return _view(self._service.segment(path, read_asked(*fields)), style, opacity)

    @plainly
    def resegment(self, run: Run | None, path: str | None, style: Any, opacity: Any, *fields: Any) -> ResultView:
        """A setting changed: the same as pressing Segment, but nothing happens before the first result."""
        if run is None:
            return ResultView(*(gr.skip() for _ in ResultView._fields))
        return _view(self._service.segment(path, read_asked(*fields)), style, opacity)

    @plainly
    def restyle(self, run: Run | None, path: str | None, style: Any, opacity: Any) -> Any:
        """Style or opacity changed: the picture is painted again, nothing is computed."""
        if run is None:
            return gr.skip()
        return _painted(self._service.again(run, path), style, opacity)

    @plainly
    def forget(self) -> ResultView:
        """Another picture was chosen, or none: results of the one before go."""
        return ResultView(None, presenters.EMPTY_LEGEND, "", presenters.EMPTY_POINT, "", None, "")

    @plainly
    def findings(self, run: Run | None, path: str | None) -> Any:
        """After a result: what could be better about the words."""
        if run is None:
            return ""
        segmenter, entry = self._service.encoded(run, path)

        asked = run.asked
        with for_people():
            words = core.text.vocabulary.parse_vocabulary(asked.words)
            scores = segmenter.scores(
                entry.encoding, words, method=asked.method, templates=asked.templates, image_prior=asked.image_prior
            )
            return presenters.findings(core.text.linter.lint(words, segmenter.embed_words, scores.words_that_win()))

    @plainly
    def download(self, run: Run | None, path: str | None) -> Iterator[DownloadView]:
        """Download pressed: steps of the work, then the result as one archive."""
        if run is None:
            raise UserError("There is no result yet. Press Segment first.")
        yield from downloaded(lambda tell: bundle(self._service, run, path, step=tell), presenters.DOWNLOAD)

    @plainly
    def point(self, run: Run | None, token: str, path: str | None, event: gr.SelectData) -> Any:
        """A point of the result was clicked; a click on a result that is no longer shown is ignored."""
        if run is None or token != run.token:
            return gr.skip()
        x, y = inside(*point_of(event), self._service.again(run, path).shown.shape[:2])
        return presenters.point_facts(point_at(self._service, run, path, x, y))

    @plainly
    def point_by_numbers(self, run: Run | None, path: str | None, x: Any, y: Any) -> Any:
        """The same as a click, without a mouse: column and row in percent of the picture."""
        if run is None:
            raise UserError("There is no result yet. Press Segment first.")
        height, width = self._service.again(run, path).shown.shape[:2]
        across, down = number("across", x) / 100, number("down", y) / 100
        return presenters.point_facts(
            point_at(self._service, run, path, *inside(across * width, down * height, (height, width)))
        )


def _view(cut: Cut, style: Any, opacity: Any) -> ResultView:
    return ResultView(
        overlay=gr.Image(_painted(cut, style, opacity), alt_text=presenters.alt_text(cut)),
        legend=presenters.legend_table(cut),
        costs=presenters.costs(cut),
        point=presenters.EMPTY_POINT,
        findings="",
        run=cut.run,
        token=cut.run.token,
    )


def _painted(cut: Cut, style: Any, opacity: Any) -> Any:

    strength = number("opacity", opacity)
    if not 0 <= strength <= 1:
        raise UserError("opacity: expected 0 to 1.")
    return core.viz.overlay.lay_over(
        cut.shown, cut.labels, core.viz.palette.label_colours(cut.result), one_of("style", style, STYLES), strength
    )
