"""The result: picture with classes and their names, legend, facts about a point, durations, downloads."""

from __future__ import annotations

import html
import math
import re
import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import gradio as gr

from demo import about_words, core
from demo.drawing import labels_url, picture_url
from demo.errors import UserError, as_user_errors
from demo.file_kinds import first_bytes, is_picture
from demo.handling import (
    DownloadView,
    downloaded,
    errors_as_messages,
    inside,
    one_of,
    place_of,
    point_of,
    read_request,
    same,
    side_of,
)
from demo.html import hint, isolated, percent, scrolling_table, seconds, sort_head, strip, swatch, whole_percent, word
from demo.service import DisplayState, Point, Run, SegmentView, Service, bundle, point_at, spots_of
from demo.service.download import CHOICES, KINDS, USUAL, figure_file
from demo.service.refine import erased, loss
from demo.service.shown import shown_of
from demo.settings import PRESETS
from demo.static import static
from demo.tabs.common import PRIVATE, QUIET, Shared, fetch_file, hidden_text, outputs

NOTES_SHOWN = 5

MOST_NAMED = 5
"""Maximum number of classes in the line above the result."""

DOWNLOAD = "Download"
SAVE = "Save"
EMPTY_LEGEND = hint("The classes that were found appear here, with their share of the picture.")
NEW_PICTURE = strip("note", "Your picture is here.", "Type what is in it, then press Segment.")
NOT_A_PICTURE = strip(
    "bad", "This file is no picture.", "Choose a JPEG, PNG, WebP, HEIC, AVIF, TIFF, GIF or BMP, whatever its name says."
)
NO_PICTURE = strip("note", "No picture.", "Drop one anywhere, paste one, or pick an example.")
STOPPED = strip("note", "Stopped.", "The last result stays.")
_ENCODING = ("read", "encode")
_STAGES = (("words", "text"), ("clusters", "cluster"), ("labels", "label"))
_COLUMNS = (
    ("Class", "text", ""),
    ("Area", "number", "Share of the picture"),
    ("Confidence", "number", "Mean probability of the class at its pixels, among all the classes given"),
)

_CAPTION = re.compile(r"^(an? |the )?(photo|photograph|picture|image) of ", re.IGNORECASE)
_SENTENCE = """
a an and are at by find for from in is it my near of on or over show the there this to under what where which with your
"""
_NO_CLASSES = frozenset(_SENTENCE.split())
"""Words of a sentence that nobody means as a class."""
MOST_ABSENT = 12
"""Classes without pixels that are named at once; the others open with a click."""


def legend_table(view: SegmentView) -> str:
    """Return an HTML table: class, area, mean confidence; column heads sort it, class buttons isolate a class."""
    heads = (sort_head(name, kind, falling=name == "Area", about=about) for name, kind, about in _COLUMNS)
    rows = "".join(
        f'<tr data-label="{row.index}"><th scope="row" data-value="{html.escape(row.name, quote=True)}">'
        f'<button type="button" class="chip" aria-pressed="false" title="{html.escape(row.name, quote=True)}">'
        f"{swatch(row.colour)} {word(row.name)}</button></th>"
        f'<td data-value="{row.area:.6f}"><span class="share" style="--share:{row.area:.3f};--colour:{row.colour}">'
        f"{percent(row.area)}</span></td>{_confidence(row.confidence)}</tr>"
        for row in view.legend
    )
    present = {row.name for row in view.legend}
    lost = loss(view.result)
    absent = [name for name in view.result.class_names if name not in {*present, *erased(view.result)}]
    return (
        scrolling_table(heads, rows)
        + (hint(lost) if lost else "")
        + (_not_found(absent) if absent else "")
        + "".join(hint(note) for note in view.result.notes[:NOTES_SHOWN])
    )


def _confidence(value: float) -> str:
    """Return the cell of a mean confidence; a dash if a person gave pixels to the class."""
    if math.isnan(value):
        return '<td data-value="-1" title="Changed by hand">\u2013</td>'
    return f'<td data-value="{value:.6f}">{percent(value)}</td>'


def _not_found(names: Sequence[str]) -> str:
    """Return HTML: the classes without pixels; the last of many open with a click."""
    first, rest = word(", ".join(names[:MOST_ABSENT])), names[MOST_ABSENT:]
    if not rest:
        return f'<p class="hint">Not found: {first}</p>'
    summary = f"<summary>Not found: {first} and {len(rest)} more</summary>"
    return f'<details class="hint">{summary}{word(", ".join(rest))}</details>'


def done(view: SegmentView) -> str:
    """Return HTML: the result in one line, with advice for a better result or the duration."""
    took = sum(
        value for stage, value in view.result.timings.items() if not (view.encoding_cached and stage in _ENCODING)
    )
    cost = "Instant (cached)." if view.result_cached else f"{seconds(took)}."
    advice = one_class(view)
    by = f"Done by {view.run.request.other_method}:" if view.run.request.other_method else "Done:"
    return strip("note" if advice else "calm", by, f"{shares(view)}. {advice or cost}")


def shares(view: SegmentView) -> str:
    """Return plain text: the largest classes and their shares of the picture."""
    return core.errors.some([f"{isolated(row.name)} {whole_percent(row.area)}" for row in view.legend], MOST_NAMED)


def welcome(path: str | None) -> str:
    """Return HTML about a new or removed picture."""
    if not path:
        return NO_PICTURE
    try:
        return NEW_PICTURE if is_picture(first_bytes(path)) else NOT_A_PICTURE
    except OSError:
        return NEW_PICTURE  # the reason is given when it is used


def failed(text: str) -> str:
    """Return HTML: the reason why there is no new result."""
    return strip("bad", "Not possible.", text)


def one_class(view: SegmentView) -> str:
    """Return plain text: advice if one class fills the whole picture; empty if the user gave several classes."""
    rest = view.run.request.everything_else
    if len(view.result.class_names) != 1 + rest:
        return ""
    name = view.result.class_names[0]
    if len(name.split()) > 2 or (len(name.split()) == 2 and not rest):
        several = [part.strip(string.punctuation) for part in _CAPTION.sub("", name).split()]
        several = [part for part in several if part and part.lower() not in _NO_CLASSES]
        if len(several) > 1:
            return f"Taken as one class. Separate classes with commas: {', '.join(several[:6])}."
    return "" if rest else "With one class, everything is that class. Add what else is there, for example: sky, grass."


def drawn(view: SegmentView) -> dict[str, Any]:
    """Return the data that the browser needs to draw labels over a picture that it already has."""
    colours = core.viz.palette.label_colours(view.result)
    return {
        "alt": alt_text(view),
        "rest": view.run.request.everything_else,
        "labels": labels_url(view.labels),
        "names": list(view.result.class_names),
        "colours": [[row.index, *colours[row.index].tolist()] for row in view.legend],
        "classes": [{"index": row.index, "name": row.name, "colour": row.colour} for row in view.legend],
    }


def costs(view: SegmentView) -> str:
    """Return HTML: duration of each stage, and the cached stages."""
    took, settings = view.result.timings, view.result.settings
    if view.result_cached:
        stages = "the whole result was <b>reused</b>: nothing was computed again"
    else:
        picture = (
            "picture <b>reused</b>: the image model did not run"
            if view.encoding_cached
            else f"picture read {seconds(took['read'])}, encoded {seconds(took['encode'])}"
        )
        parts = (f"{name} {seconds(took[stage])}" for name, stage in _STAGES)
        stages = " · ".join((picture, *parts))
    size, full = view.result.size, tuple(settings["original_size"])
    if settings["preset"] == "auto" and size != full:  # a photograph: all of it would be slow to show
        here, there = (f"{height} &times; {width}" for height, width in (size, full))
        stages += f" · areas measured on {here} pixels, in a download on {there}"
    regions = core.errors.counted(int(view.result.patch_clusters.max()) + 1, "region")
    h, w = view.run.key.grid
    return (
        f'<details class="facts"><summary>{html.escape(view.run.key.model)} · {regions} of {h} &times; {w} '
        f"patches</summary>{stages} · {settings['method']}, eps {settings['eps']:.3g}, "
        f"min_samples {settings['min_samples']}</details>"
    )


def alt_text(view: SegmentView) -> str:
    """Return the text alternative of the overlay for screen readers; plain text."""
    shares = ", ".join(f"{row.name} {whole_percent(row.area)}" for row in view.legend[:12])
    return f"The picture divided among words: {shares}. The legend has every class."


def point_facts(point: Point) -> str:
    """Return HTML: class at a point of the picture, the second candidate, and the region that voted."""
    shown, (first, *others) = point.shown, point.candidates
    lines = [f"<b>{swatch(point.colour)} {word(shown)}</b> at column {point.column}, row {point.row}"]
    if others:
        by = f", by the word {word(first.word)}" if first.word != first.name else ""
        lines.append(
            f"This patch alone says {word(first.name)} ({percent(first.probability)}){by}; then {word(others[0].name)} "
            f"({percent(others[0].probability)}), a margin of {percent(first.probability - others[0].probability)}"
        )
    if point.abstained:
        lines.append("It is less sure than the threshold, so the pixel is background.")
    elif point.mixed:
        lines.append(f"Between patches their scores are mixed: here {word(shown)} comes first.")
    elif point.region is not None:
        lines.append(
            f"Region {point.region} ({percent(point.region_area)} of the picture) voted for "
            f"{word(point.region_class)}: {percent(point.region_share)} of its pixels."
        )
    return f'<div class="facts">{"<br>".join(lines)}</div>'


class ResultView(NamedTuple):
    """New values of the components that show a result, by component name."""

    result: Any
    legend: Any
    suggested: Any
    costs: Any
    point: Any
    absent: Any
    findings: Any
    status: Any
    run: Any
    token: Any
    shown: Any
    due: Any


NO_RESULT = ResultView(None, EMPTY_LEGEND, "", "", "", "", "", NO_PICTURE, None, "", None, False)
"""Values of the components before the first result."""


class SegmentHandlers:
    """Event handlers of the result, one method for each event; no visitor's data is stored."""

    def __init__(self, service: Service) -> None:
        """Use one service for all pages."""
        self._service = service

    @errors_as_messages
    def segment(self, path: str | None, *fields: Any) -> ResultView:
        """Handle Segment: segment the picture."""
        return self.view(self._service.segment(path, read_request(*fields)), path)

    @errors_as_messages
    def resegment(self, run: Run | None, path: str | None, *fields: Any) -> ResultView:
        """Handle a changed setting: segment the picture again; no effect before the first result."""
        return same(ResultView) if run is None else self.view(self._service.segment(path, read_request(*fields)), path)

    @errors_as_messages
    def forget(self, path: str | None) -> ResultView:
        """Handle a new or removed picture: clear the results of the previous picture; its fixes return with it."""
        return NO_RESULT._replace(status=welcome(path), shown=gr.skip())

    @errors_as_messages
    def suggest(self, path: str | None, preset: Any, short_side: Any, model: Any) -> Any:
        """Return words that may fit a new picture, or the reason why it cannot be used, before its first result."""
        if welcome(path) != NEW_PICTURE:
            return ""  # the status tells why
        way, side = one_of("preset", preset, PRESETS), side_of(preset, short_side)
        try:
            return about_words.suggestions(self._service.suggest(path, way, model, side))
        except UserError as error:
            return failed(str(error))

    @errors_as_messages
    def findings(self, run: Run | None, path: str | None) -> Any:
        """Return possible improvements of the words, after a result."""
        if run is None:
            return ""
        segmenter, _ = self._service.encoded(run, path)
        with as_user_errors():
            words = core.text.vocabulary.parse_vocabulary(run.request.words)
            found = core.text.linter.lint(words, segmenter.embed_words, segmenter.unknown_words)
            corrections = islice(core.text.spelling.corrections(words.prompts).items(), core.text.linter.MOST_FINDINGS)
            return about_words.findings(found, dict(corrections))

    @errors_as_messages
    def absent(self, run: Run | None, path: str | None) -> Any:
        """Return classes without a pixel, and those that the picture probably does not show, after a result.

        This is not part of the result: the first encoding of the common words takes a model a second or two.
        """
        if run is None or run.request.skip_missing:  # without missing classes, the notes of the result name them
            return ""
        segmenter, entry = self._service.encoded(run, path)
        with as_user_errors():
            words = core.text.vocabulary.parse_vocabulary(run.request.words)
            missing = segmenter.missing(entry.encoding, words, templates=run.request.templates)
        found = {*missing, *self._service.again(run, path).result.areas}
        lost = [one for one in words.classes if one.name not in found]
        # The semicolon keeps synonyms in one class.
        alone = {one.name: ", ".join(one.prompts) + ";" * (len(one.prompts) > 1) for one in lost}
        # Below a threshold no class has the pixel, and asked for alone it would have none either.
        unsure = run.request.threshold > 0
        return about_words.hidden({} if unsure else alone) + about_words.absent(
            missing, everything_else=run.request.everything_else
        )

    @errors_as_messages
    def download(
        self, run: Run | None, path: str | None, choice: Any = USUAL, shown: DisplayState | None = None
    ) -> Iterator[DownloadView]:
        """Handle Download: yield the progress, then the shown result as one archive."""
        if run is None:
            raise UserError("There is no result yet. Press Segment first.")
        name, state = one_of("format", choice, tuple(CHOICES)), shown_of(run, shown)
        yield from downloaded(lambda progress: bundle(self._service, state, path, progress, choice=name), DOWNLOAD)

    @errors_as_messages
    def figure(
        self, run: Run | None, path: str | None, kind: Any, place: Any, shown: DisplayState | None = None
    ) -> Iterator[DownloadView]:
        """Handle Save: make the chosen figure or table for the patch, layer and head that the lens shows.

        Args:
            run: run of the shown result.
            path: file of the picture.
            kind: one of `demo.service.download.KINDS`.
            place: "row,column,layer,head" from the browser, head 0 for the mean; empty before a patch was shown.
            shown: refinement and fixes of the shown result; None if there are none.
        """
        if run is None:
            raise UserError("There is no result yet. Press Segment first.")
        found = place_of(place)
        patch, layer, head = ((found[0], found[1]), found[2], found[3] or None) if found else (None,) * 3
        chosen, state = one_of("figure", kind, tuple(KINDS)), shown_of(run, shown)
        yield from downloaded(lambda _: figure_file(self._service, state, path, chosen, patch, layer, head), SAVE)

    @errors_as_messages
    def point(
        self, run: Run | None, token: str, path: str | None, event: gr.SelectData, shown: DisplayState | None = None
    ) -> Any:
        """Handle a click on a point of the result; a click on an older result is ignored."""
        if run is None or token != run.token:
            return gr.skip()
        x, y = inside(*point_of(event), self._service.again(run, path).shown.shape[:2])
        return point_facts(point_at(self._service, run, path, x, y, shown_of(run, shown)))

    @errors_as_messages
    def patch(
        self, run: Run | None, token: str, path: str | None, event: gr.SelectData, shown: DisplayState | None = None
    ) -> Any:
        """Handle the choice of a patch (row, column) in the lens, like a click on its centre."""
        if run is None or token != run.token:
            return gr.skip()
        (row, column), (h, w) = point_of(event), run.key.grid
        height, width = self._service.again(run, path).shown.shape[:2]
        x, y = inside((column + 0.5) * width / w, (row + 0.5) * height / h, (height, width))
        return point_facts(point_at(self._service, run, path, x, y, shown_of(run, shown)))

    def view(self, view: SegmentView, path: str | None) -> ResultView:
        """Return the values of the components for a result."""
        return ResultView(
            result=self._drawn(view, path),
            legend=legend_table(view),
            suggested="",
            costs=costs(view),
            point="",
            absent="",
            findings="",
            status=done(view),
            run=view.run,
            token=view.run.token,
            shown=gr.skip(),  # keep the refinement and fixes of the previous result
            due=True,  # `demo.changing` applies them to this result
        )

    def _drawn(self, view: SegmentView, path: str | None) -> dict[str, Any]:
        """Return the data from which the browser draws the result."""
        return {
            **drawn(view),
            **spots_of(self._service, view.run, path),
            "token": view.run.token,
            "words": view.run.request.words,
            "grid": list(view.run.key.grid),
            "picture": picture_url(view.shown),
        }


FILE = "file"
ANY_RESULT = "token => Array(2).fill({ __type__: 'update', interactive: Boolean(token) })"
SPOT_HTML = '<p class="now">Point at the picture to see the class there, and the second best.</p>'


@dataclass(frozen=True)
class Result:
    """Components of the result, and the State of the shown result and of fixes that are due."""

    result: gr.HTML
    legend: gr.HTML
    suggested: gr.HTML
    point: gr.HTML
    absent: gr.HTML
    findings: gr.HTML
    status: gr.HTML
    costs: gr.HTML
    formats: gr.Dropdown
    download: gr.Button
    figure: gr.Dropdown
    save: gr.Button
    place: gr.Textbox
    file: gr.DownloadButton
    run: gr.State
    token: gr.Textbox
    shown: gr.State
    due: gr.State
    history: gr.Textbox
    in_batch: gr.HTML


def draw(run: gr.State, token: gr.Textbox, status: gr.HTML) -> Result:
    """Create the components in the current Gradio layout context."""
    with gr.Row(elem_id="main"):
        picture = gr.HTML(
            None,
            html_template=static("result.html"),
            js_on_load=static("spot.js")
            + static("result.js")
            + static("zoom.js")
            + static("fix.js")
            + static("copy.js"),
            apply_default_css=False,
            elem_id="result",
        )
        with gr.Column(min_width=240):
            in_batch = gr.HTML("", elem_id="in-batch", padding=False)
            suggested = gr.HTML("", elem_id="suggested", padding=False)
            legend = gr.HTML(EMPTY_LEGEND, elem_id="legend", padding=False)
        with gr.Column(elem_id="notes", min_width=240):
            gr.HTML(SPOT_HTML, elem_id="spot", padding=False)
            point = gr.HTML("", elem_id="point", padding=False)
            absent = gr.HTML("", elem_id="absent", padding=False)
            findings = gr.HTML("", elem_id="findings", padding=False)
            costs = gr.HTML("", elem_id="costs", padding=False)
            with gr.Row(elem_classes="take"):
                formats = gr.Dropdown(
                    [(title, name) for name, title in CHOICES.items()], value=USUAL, label="Formats", show_label=False,
                    container=False, filterable=False, min_width=170, elem_id="formats",
                )  # fmt: skip
                download = gr.Button(DOWNLOAD, interactive=False, elem_id="download", size="sm", scale=0, min_width=90)
            with gr.Row(elem_classes="take"):
                kinds = [(title, name) for name, (title, _) in KINDS.items()]
                figure = gr.Dropdown(
                    kinds, value="png", label="Figure", show_label=False, container=False, filterable=False,
                    min_width=170, elem_id="figure",
                )  # fmt: skip
                save = gr.Button(SAVE, interactive=False, elem_id="save", size="sm", scale=0, min_width=90)
    place = hidden_text("place")
    file = gr.DownloadButton("Download", visible="hidden", elem_id=FILE)
    return Result(
        picture, legend, suggested, point, absent, findings, status, costs, formats, download, figure, save, place,
        file, run, token, gr.State(None), gr.State(False), hidden_text("history-text"), in_batch,
    )  # fmt: skip


def wire(result: Result, lens: gr.HTML, shared: Shared, handlers: SegmentHandlers) -> None:
    """Connect the events of the result, including the choice of a patch in the lens."""
    for asking, handler in ((lens, handlers.patch), (result.result, handlers.point)):
        asking.select(
            handler,
            [shared.run, shared.token, shared.image, result.shown],
            result.point,
            **QUIET,
        )
    result.token.change(None, result.token, [result.download, result.save], js=ANY_RESULT, **PRIVATE)
    made = result.download.click(
        handlers.download,
        [shared.run, shared.image, result.formats, result.shown],
        outputs(result, DownloadView),
        **QUIET,
    )
    saved = result.save.click(
        handlers.figure,
        [shared.run, shared.image, result.figure, result.place, result.shown],
        [result.save, result.file],
        **QUIET,
    )
    saved.success(None, None, None, js=fetch_file(FILE), **PRIVATE)
    # The archive is made on request; the browser then downloads it like a clicked link.
    made.success(None, None, None, js=fetch_file(FILE), **PRIVATE)


def result_outputs(result: Result) -> list[Any]:
    """Return the components that receive a new result."""
    return outputs(result, ResultView)
