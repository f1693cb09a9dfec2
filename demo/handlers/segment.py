"""Segmenting: what each event around the result does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import gradio as gr

from demo import core
from demo.errors import UserError, for_people
from demo.figures.shown import labels_url, picture_url, spots_code
from demo.handlers.common import (
    DownloadView,
    downloaded,
    inside,
    one_of,
    plainly,
    point_of,
    read_asked,
    same,
    text,
    whole,
)
from demo.presenters import segment as presenters
from demo.service import Run, SegmentView, Service, bundle, point_at, scores_of
from demo.service.figure import KINDS, figure_file


class ResultView(NamedTuple):
    """New values of the components that show a result, by the components' names."""

    result: Any
    legend: Any
    costs: Any
    point: Any
    absent: Any
    findings: Any
    status: Any
    run: Any
    token: Any


class SegmentHandlers:
    """One method for each event around the result; keeps nothing of any visitor."""

    def __init__(self, service: Service) -> None:
        """Serve pages from one service."""
        self._service = service

    @plainly
    def segment(self, path: str | None, *fields: Any) -> ResultView:
        """Segment pressed."""
        return self._view(self._service.segment(path, read_asked(*fields)), path)

    @plainly
    def resegment(self, run: Run | None, path: str | None, *fields: Any) -> ResultView:
        """A setting changed: the same as pressing Segment, but nothing happens before the first result."""
        return same(ResultView) if run is None else self._view(self._service.segment(path, read_asked(*fields)), path)

    @plainly
    def forget(self, path: str | None) -> ResultView:
        """Another picture was chosen, or none: results of the one before go."""
        status = presenters.NEW_PICTURE if path else presenters.NO_PICTURE
        return ResultView(None, presenters.EMPTY_LEGEND, "", "", "", "", status, None, "")

    @plainly
    def findings(self, run: Run | None, path: str | None) -> Any:
        """After a result: what could be better about the words."""
        if run is None:
            return ""
        segmenter, _ = self._service.encoded(run, path)
        with for_people():
            words, winners = core.text.vocabulary.parse_vocabulary(run.asked.words), scores_of(self._service, run, path)
            return presenters.findings(core.text.linter.lint(words, segmenter.embed_words, winners.words_that_win()))

    @plainly
    def absent(self, run: Run | None, path: str | None) -> Any:
        """After a result: classes that the picture does not seem to show, unless they were left out.

        After, and not with it: the first look at the general words takes a model a second or two.
        """
        if run is None or run.asked.skip_missing:
            return ""
        segmenter, entry = self._service.encoded(run, path)
        with for_people():
            missing = segmenter.missing(entry.encoding, run.asked.words, templates=run.asked.templates)
        return presenters.absent(missing)

    @plainly
    def download(self, run: Run | None, path: str | None) -> Iterator[DownloadView]:
        """Download pressed: steps of the work, then the result as one archive."""
        if run is None:
            raise UserError("There is no result yet. Press Segment first.")
        yield from downloaded(lambda tell: bundle(self._service, run, path, step=tell), presenters.DOWNLOAD)

    @plainly
    def figure(self, run: Run | None, path: str | None, kind: Any, place: Any) -> Iterator[DownloadView]:
        """Save pressed: the chosen figure or table, for the patch and layer that the lens shows.

        Args:
            run: what is shown.
            path: the picture's file.
            kind: one of `demo.service.figure.KINDS`.
            place: "row,column,layer" as the browser noted it; empty before a patch was shown.
        """
        if run is None:
            raise UserError("There is no result yet. Press Segment first.")
        found = [whole("patch", _as_number(part)) for part in text("patch", place).split(",") if part]
        patch, layer = (tuple(found[:2]), found[2]) if len(found) == 3 else (None, None)
        chosen = one_of("figure", kind, tuple(KINDS))
        yield from downloaded(lambda _: figure_file(self._service, run, path, chosen, patch, layer), presenters.SAVE)

    @plainly
    def point(self, run: Run | None, token: str, path: str | None, event: gr.SelectData) -> Any:
        """A point of the result was clicked; a click on a result that is no longer shown is ignored."""
        if run is None or token != run.token:
            return gr.skip()
        x, y = inside(*point_of(event), self._service.again(run, path).shown.shape[:2])
        return presenters.point_facts(point_at(self._service, run, path, x, y))

    @plainly
    def patch(self, run: Run | None, token: str, path: str | None, event: gr.SelectData) -> Any:
        """A patch was chosen in the lens, as (row, column): the same as a click on its middle."""
        if run is None or token != run.token:
            return gr.skip()
        (row, column), (h, w) = point_of(event), run.seen.grid
        height, width = self._service.again(run, path).shown.shape[:2]
        x, y = inside((column + 0.5) * width / w, (row + 0.5) * height / h, (height, width))
        return presenters.point_facts(point_at(self._service, run, path, x, y))

    def _view(self, cut: SegmentView, path: str | None) -> ResultView:
        return ResultView(
            result=self._drawn(cut, path),
            legend=presenters.legend_table(cut),
            costs=presenters.costs(cut),
            point="",
            absent="",
            findings="",
            status=presenters.done(cut),
            run=cut.run,
            token=cut.run.token,
        )

    def _drawn(self, cut: SegmentView, path: str | None) -> dict[str, Any]:
        """What the browser draws the result from."""
        probabilities = scores_of(self._service, cut.run, path).class_probabilities.numpy()
        return {
            **presenters.drawn(cut, len(probabilities)),
            "picture": picture_url(cut.shown),
            "labels": labels_url(cut.labels),
            "spots": spots_code(probabilities),
        }


def _as_number(part: str) -> Any:
    """A whole number that the browser wrote; anything else stays text, and is refused as such."""
    return int(part) if part.isdecimal() and len(part) < 6 else part
