"""The Compare tab: one picture segmented by several methods, two results side by side, optional ground truth."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, NamedTuple

import gradio as gr
import numpy as np

from cliptrase_core.names import fold
from demo import core, drawing
from demo.compare_html import (
    GOOD,
    TRUTH_SHOWN,
    area_table,
    best_mean,
    changed_share,
    class_scores,
    doubts,
    errors_text,
    news,
    numbers_read,
    progress,
    scores,
    slider_text,
)
from demo.drawing import marked
from demo.errors import UserError
from demo.handling import errors_as_messages, same, text
from demo.html import hint, strip
from demo.service import DisplayState, Run, SegmentView, Service
from demo.service.compare import (
    OTHER_WORDS,
    Comparison,
    Variant,
    class_names,
    difference,
    own_name,
    variant_views,
    variants,
    with_own,
)
from demo.service.ground_truth import (
    NUMBERS_FROM_ONE,
    GroundTruth,
    Labels,
    Score,
    drawn_ground_truth,
    read_ground_truth,
    score,
)
from demo.tabs.common import (
    CHEAP,
    EACH,
    ONE_AT_A_TIME,
    PRIVATE,
    QUIET,
    RUNNING,
    Shared,
    caption,
    hidden_text,
    outputs,
    shown,
    wire_end,
)

START = hint(
    "The picture and words of your result, segmented by each step from CLIP to CLIPtrase, then by every other method, "
    "in the same colours. Scores against a ground truth come last; the examples have one."
)
EMPTY = hint("Press Compare: the results appear here.")
STOPPED = strip("note", "Stopped.", "Finished results are cached; the next run continues from there.")
GROUND_TRUTH_TEXT = hint(
    "A palette or grey PNG in the picture's size. Each pixel holds the number of its class: 0 for the first of your "
    "words, 1 for the second, and so on; 255 is ignored. "
    "The examples have one that was drawn by hand: it counts with their own words, unless you give another."
)

OPACITY = 0.6
THUMBNAIL = 480
"""Long side of a gallery picture in pixels."""
REPORT_EVERY = 0.3
"""Seconds between two progress updates."""

Pairs = list[tuple[Variant, SegmentView]]


class PairView(NamedTuple):
    """New values of the components that show two results, by component name."""

    between: Any
    slider: Any
    share: Any
    changes: Any
    areas: Any
    scores: Any
    truth_caption: Any
    truth: Any
    errors_caption: Any
    errors: Any
    refused: Any = ""


class CompareView(NamedTuple):
    """New values during and after a comparison, by component name."""

    news: Any
    running: Any
    gallery: Any
    before: Any
    after: Any
    found: Any
    comparison: Any


class StoppedView(NamedTuple):
    """New values after a stop, by component name."""

    news: Any
    running: Any
    gallery: Any


NO_PAIR = PairView("", None, "", None, "", "", "", None, "", None)


class CompareHandlers:
    """Event handlers of the tab, one method for each event; no visitor's data is stored."""

    def __init__(self, service: Service) -> None:
        """Use one service for all pages."""
        self._service = service

    @errors_as_messages
    def compare(self, run: Run | None, path: str | None, other_words: Any) -> Iterator[CompareView]:
        """Handle Compare: yield progress for each result, then the selection of two of them."""
        if run is None:
            raise UserError("There is no result yet. Press Segment first.")
        mine = run.request
        found = variants(mine, other_words=text("other words", other_words))
        comparison = Comparison(run, with_own(mine, found))
        unchanged = same(CompareView)
        hidden = gr.Column(visible=False)
        colours, small = _palette(comparison), _small(self._service.again(run, path).shown)
        pairs: Pairs = []
        painted: list[tuple[drawing.Picture, str]] = []
        with closing(variant_views(self._service, path, comparison)) as made:
            reported = 0.0
            for done, variant in enumerate(comparison.variants):
                if time.monotonic() - reported > REPORT_EVERY:
                    reported = time.monotonic()
                    message = progress(done, len(comparison.variants), variant.title)
                    step = unchanged._replace(news=message, running=RUNNING, comparison=None)
                    yield step._replace(gallery=_gallery(painted), found=hidden)
                _, view = next(made)
                painted.append((_painted(view, colours, small), variant.title))
                pairs.append((variant, view))
        names = [variant.name for variant in comparison.variants]
        own = own_name(mine, comparison.variants) or names[-1]
        before, after = (own, OTHER_WORDS) if OTHER_WORDS in names else (names[0], own)
        if before == after:
            after = "cliptrase"
        choices = [(variant.title, variant.name) for variant in comparison.variants]
        yield CompareView(
            news=news(pairs, _hex(colours)),
            running="",
            gallery=_gallery(painted),
            before=gr.Dropdown(choices, value=before),
            after=gr.Dropdown(choices, value=after),
            found=gr.Column(visible=True),
            comparison=comparison,
        )

    @errors_as_messages
    def pair(
        self,
        comparison: Comparison | None,
        path: str | None,
        before: Any,
        after: Any,
        mask: str | None,
        from_one: Any = False,
        last: DisplayState | None = None,
    ) -> PairView:
        """Handle a new choice of two results, or an added, removed or differently read ground truth.

        `last` is the result shown above: if it is refined or fixed, it is scored too.
        """
        if comparison is None:
            return NO_PAIR
        chosen = [comparison.variant(text("result", name)) for name in (before, after)]
        only = dataclasses.replace(comparison, variants=tuple(chosen))
        first, second = (view for _, view in variant_views(self._service, path, only))
        colours = _palette(comparison)
        found = difference(first, second)
        shown = PairView(
            between=slider_text(*chosen),
            slider=(_painted(first, colours), _painted(second, colours)),
            share=changed_share(chosen[0], chosen[1], found),
            changes=marked(first.shown, found.changed),
            areas=area_table(found, _hex(colours)),
            scores="",
            truth_caption="",
            truth=gr.Image(None, visible=False),
            errors_caption="",
            errors=gr.Image(None, visible=False),
        )
        try:
            return self._scored(shown, comparison, path, chosen, mask, from_one is True, last)
        except UserError as error:  # the comparison remains, and the reason beside it
            title = "The ground truth cannot be used."
            # Beside the button, since the scores are far below it.
            return shown._replace(scores=hint(f"{title} {error}"), refused=strip("bad", title, str(error)))

    @errors_as_messages
    def show(self, comparison: Comparison | None, event: gr.SelectData) -> Any:
        """Handle a click in the gallery: that result becomes the right one."""
        index = event.index
        if comparison is None:
            return gr.skip()
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(comparison.variants):
            raise UserError("There is no such result to compare. Press Compare again.")
        return comparison.variants[index].name

    @errors_as_messages
    def forget(self, comparison: Comparison | None, run: Run | None) -> tuple[Any, ...]:
        """Handle a new result: clear the comparison, unless there is none or it belongs to the new result."""
        if comparison is None or comparison.run == run:
            return tuple(gr.skip() for _ in (*CompareView._fields, *PairView._fields))
        none, hidden = gr.Dropdown([], value=None), gr.Column(visible=False)
        return (*CompareView(EMPTY, "", gr.Gallery(None, visible=False), none, none, hidden, None), *NO_PAIR)

    @errors_as_messages
    def stopped(self, running: Any) -> StoppedView:
        """Handle Stop or a new picture: show a message only if a comparison was running."""
        return StoppedView(STOPPED, "", gr.Gallery(None, visible=False)) if running else same(StoppedView)

    def _scored(
        self,
        shown: PairView,
        comparison: Comparison,
        path: str | None,
        chosen: list[Variant],
        mask: str | None,
        from_one: bool,
        last: DisplayState | None,
    ) -> PairView:
        """Return the pair with its scores and errors against the ground truth, if there is one."""
        own = self._service.again(comparison.run, path)
        if mask:
            truth = read_ground_truth(self._service, path, mask, own, from_one=from_one)
        else:
            drawn = drawn_ground_truth(self._service, path, own)
            if drawn is None:
                return shown
            truth = drawn
        views = list(variant_views(self._service, path, comparison))
        scored = [(variant, score(truth, view)) for variant, view in views]
        by_name = {variant.name: found for variant, found in scored}
        rows = [(variant.title, found) for variant, found in scored]
        if last is not None and last.run == comparison.run and last.changed:
            now = score(truth, self._service.shown(last, path)[0])
            rows.append((f"Shown above: {last.how}", now))
        first, second = (by_name[variant.name] for variant in chosen)
        colours = _palette(comparison, own)
        doubt = self._doubts(truth, path, mask, own, views, [found for _, found in scored]) if mask else ""
        return shown._replace(
            scores=doubt + scores(rows) + numbers_read(truth) + class_scores(truth, first, second, _hex(colours)),
            truth_caption=TRUTH_SHOWN,
            truth=gr.Image(_laid_over(own.shown, truth.labels, truth.names, colours), visible=True),
            errors_caption=errors_text(chosen[1]),
            errors=gr.Image(marked(own.shown, second.wrong, truth.labels < 0), visible=True),
        )

    def _doubts(
        self,
        truth: GroundTruth,
        path: str | None,
        mask: str,
        own: SegmentView,
        views: Pairs,
        scored: Sequence[Score],
    ) -> str:
        """Return a hint if the numbers of the ground truth may mean something else; they are never changed silently."""
        if best_mean(scored) >= GOOD:
            return ""
        try:
            other = read_ground_truth(self._service, path, mask, own, from_one=not truth.from_one)
        except UserError:  # its numbers have no such meaning
            return doubts(truth, scored, ())
        return doubts(truth, scored, [score(other, view) for _, view in views])


def _palette(comparison: Comparison, *variant_views: SegmentView) -> dict[str, tuple[int, int, int]]:
    """Return one colour for each folded name of all results, for the page's own result as above: "Dog" and "dog" are
    one class."""
    own = class_names([comparison.run.request])
    others = class_names(one.request for one in comparison.variants)
    further = (name for view in variant_views for name in view.result.class_names)
    return core.viz.palette.class_colours(map(fold, own), map(fold, (*others, *further)))


def _hex(colours: dict[str, tuple[int, int, int]]) -> dict[str, str]:
    return {name: core.viz.palette.to_hex(colour) for name, colour in colours.items()}


def _painted(
    view: SegmentView, colours: dict[str, tuple[int, int, int]], picture: drawing.Picture | None = None
) -> drawing.Picture:
    """Return a result drawn over the shown picture, or over the given smaller one."""
    picture = view.shown if picture is None else picture
    return _laid_over(picture, view.result.labels, view.result.class_names, colours)


def _laid_over(
    picture: drawing.Picture, labels: Labels, names: Sequence[str], colours: dict[str, tuple[int, int, int]]
) -> drawing.Picture:
    """Return the classes of labels (h, w) over a picture, (H, W, 3); pixels that do not count (-1) are black."""
    table = np.array([colours[fold(name)] for name in names], dtype=np.uint8)
    labels = core.io.geometry.nearest(labels, picture.shape[:2])
    out = core.viz.overlay.lay_over(picture, labels, table, "fill", OPACITY)
    out[labels < 0] = 0
    return out


def _gallery(painted: list[tuple[drawing.Picture, str]]) -> Any:
    return gr.Gallery(painted, visible=bool(painted))


def _small(picture: drawing.Picture) -> drawing.Picture:
    size = picture.shape[:2]
    return drawing.view(picture, core.io.geometry.fitted(size, min(THUMBNAIL, max(size))))


NAME = "compare"


@dataclass(frozen=True)
class Compare:
    """Components of the tab; `found` contains the components for results and is hidden until there are some."""

    other_words: gr.Textbox
    mask: gr.Image
    from_one: gr.Checkbox
    go: gr.Button
    stop: gr.Button
    news: gr.HTML
    running: gr.Textbox
    gallery: gr.Gallery
    found: gr.Column
    before: gr.Dropdown
    after: gr.Dropdown
    between: gr.HTML
    slider: gr.ImageSlider
    share: gr.HTML
    changes: gr.Image
    areas: gr.HTML
    scores: gr.HTML
    truth_caption: gr.HTML
    truth: gr.Image
    errors_caption: gr.HTML
    errors: gr.Image
    refused: gr.HTML
    comparison: gr.State


def draw() -> Compare:
    """Create the components in the current Gradio layout context."""
    gr.HTML(START, padding=False)
    other_words = gr.Textbox(
        label="Other words (optional)",
        info="One more result: the same picture divided among these. Classes of one name have one colour.",
        lines=1,
        max_lines=4,
        elem_id="other-words",
    )
    with gr.Accordion("Ground truth (optional)", open=False, elem_id="truth"):
        gr.HTML(GROUND_TRUTH_TEXT, padding=False)
        mask = gr.Image(
            label="Ground truth",
            show_label=False,
            type="filepath",
            sources=["upload"],
            height=160,
            buttons=[],
            elem_id="mask",
        )
        from_one = gr.Checkbox(
            label=NUMBERS_FROM_ONE,
            info="0 is the background or everything else if your result has one of them; else it does not count.",
            elem_id="from-one",
        )
    with gr.Row():
        go = gr.Button("Compare", variant="primary", elem_id="compare-go", scale=3, min_width=160)
        stop = gr.Button("Stop", elem_id="compare-stop", scale=1, min_width=70)
    refused = gr.HTML("", padding=False)
    news = gr.HTML(EMPTY, elem_id="compare-news", min_height=30, padding=False)
    gallery = gr.Gallery(
        label="Results",
        show_label=False,
        columns=4,
        height="auto",
        object_fit="contain",
        allow_preview=False,
        buttons=[],
        format="jpeg",
        visible=False,
        elem_id="compare-gallery",
    )
    with gr.Column(visible=False) as found:
        parts = _results()
    return Compare(
        other_words=other_words,
        mask=mask,
        from_one=from_one,
        go=go,
        stop=stop,
        news=news,
        running=hidden_text("compare-running"),
        gallery=gallery,
        found=found,
        refused=refused,
        comparison=gr.State(None),
        **parts,
    )


def wire(tab: Compare, shared: Shared, last: gr.State, stop: gr.Button, handlers: CompareHandlers) -> None:
    """Connect the events of this tab.

    Args:
        tab: components of the tab.
        shared: components of the picture and the run.
        last: State of the shown result with its refinement and fixes.
        stop: the page's Stop button, which also stops a comparison.
        handlers: handlers of these events.
    """
    pair: dict[str, Any] = {
        "fn": handlers.pair,
        "inputs": [tab.comparison, shared.image, tab.before, tab.after, tab.mask, tab.from_one, last],
        "outputs": outputs(tab, PairView),
        "show_progress_on": [tab.changes],
        **ONE_AT_A_TIME,
        **PRIVATE,
    }
    running = gr.on(
        [tab.go.click, tab.other_words.submit],
        handlers.compare,
        [shared.run, shared.image, tab.other_words],
        outputs(tab, CompareView),
        **QUIET,
    )
    paired = running.success(**pair)
    gr.on([tab.before.input, tab.after.input, tab.mask.upload, tab.mask.clear, tab.from_one.input], **pair)
    picked = tab.gallery.select(handlers.show, tab.comparison, tab.after, **CHEAP)
    picked.success(**pair)
    picked.success(None, None, None, js="() => lab.showPair()", **PRIVATE)
    ending = [tab.stop.click, stop.click, shared.image.input]
    wire_end(ending, [running, paired], handlers.stopped, tab.running, outputs(tab, StoppedView))
    # A comparison belongs to the result that was shown at its start. Nothing is cancelled here: new results wait in
    # the same queue, and this event may arrive late, after Compare was pressed for the new result.
    everything = [*outputs(tab, CompareView), *outputs(tab, PairView)]
    shared.token.change(handlers.forget, [tab.comparison, shared.run], everything, **EACH, **CHEAP)
    shared.image.change(None, None, tab.mask, js="() => null", **PRIVATE)


def _results() -> dict[str, Any]:
    """Create the components for results."""
    with gr.Row():
        before = gr.Dropdown([], label="Left", min_width=150, elem_id="compare-before")
        after = gr.Dropdown([], label="Right", min_width=150, elem_id="compare-after")
    between = gr.HTML("", padding=False)
    slider = gr.ImageSlider(
        label="Left and right",
        show_label=False,
        format="jpeg",
        interactive=False,
        max_height=420,
        buttons=["fullscreen"],
        elem_id="compare-slider",
    )
    share = gr.HTML("", elem_id="compare-share", min_height=44, padding=False)
    changes = shown("Pixels whose class has another name, in yellow", "compare-changes", height=300)
    caption("Area of each class")
    areas = gr.HTML("", elem_id="compare-areas", padding=False)
    scores = gr.HTML("", elem_id="compare-scores", padding=False)
    truth_caption = gr.HTML("", padding=False)
    truth = _judged("Ground truth", "compare-truth")
    errors_caption = gr.HTML("", padding=False)
    errors = _judged("Errors", "compare-errors")
    return {
        "before": before,
        "after": after,
        "between": between,
        "slider": slider,
        "share": share,
        "changes": changes,
        "areas": areas,
        "scores": scores,
        "truth_caption": truth_caption,
        "truth": truth,
        "errors_caption": errors_caption,
        "errors": errors,
    }


def _judged(label: str, name: str) -> gr.Image:
    """Draw a picture that is hidden until there is a ground truth."""
    return gr.Image(
        label=label,
        show_label=False,
        format="jpeg",
        interactive=False,
        height=300,
        visible=False,
        buttons=["download", "fullscreen"],
        elem_id=name,
    )
