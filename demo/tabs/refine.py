"""The Refine tab: choice of refiner and mode, result before and after, and a table of the components."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import gradio as gr

from cliptrase_core.names import EDGES, EVERYTHING, MODES, PROMPTS, REGIONS
from demo import core
from demo.cancelling import without_time_limit
from demo.drawing import boundaries, outlined
from demo.errors import UserError
from demo.handling import DownloadView, downloaded, errors_as_messages, followed, named, one_of, same, whole
from demo.html import COLOUR_HEAD, hint, percent, scrolling_table, seconds, sort_head, strip, swatch, word, working
from demo.service import DisplayState, RefinedView, Refinement, Run, Service, bundle
from demo.service.refine import MEGABYTES, expect_available, fetch, is_available, loss, mode_of
from demo.settings import REFINERS
from demo.tabs.common import (
    CHEAP,
    EACH,
    LAST,
    PRIVATE,
    QUIET,
    RUNNING,
    UNSEEN,
    Shared,
    caption,
    fetch_file,
    hidden_text,
    outputs,
    shown,
    wire_end,
)

START = hint(
    "Classes come from patches of many pixels, so their boundaries are coarse. A refiner moves them to where things "
    "end. SAM, Segment Anything, is a model that segments the thing at a point, without knowing its class."
)
DOWNLOAD = "Download the refined result (zip)"
EMPTY = hint("Press Refine: the result appears here.")
STOPPED = strip("note", "Stopped.", "Nothing was changed.")
FETCH_STOPPED = strip("note", "Stopped.", "Nothing was fetched.")
KEY = (
    '<p class="facts key"><span><i class="sign line stayed"></i> boundary that stayed</span>'
    '<span><i class="sign line was"></i> where it was</span><span><i class="sign line is"></i> where it is now</span>'
    "<span>Numbers: the components below.</span></p>"
)
COMPONENTS_INFO = (
    "Ticked components use SAM's mask, others keep their outline where no such mask covers it. The edge filter, if "
    "chosen, runs afterwards and may remove a small one. Applies at once; SAM does not run again."
)
REMEDY = "Another refiner may keep it. Coarse, at the result above, does."
NO_COMPONENTS = {
    EVERYTHING: hint("This mode has no components: each of SAM's masks takes its most frequent class."),
    EDGES: hint("This refiner does not work by components."),
}
_MODE_LABELS = {
    PROMPTS: "prompts: SAM gets each component of each class as a prompt and returns its mask",
    REGIONS: "regions: the same for each region of the clustering, which separates touching things of one class",
    EVERYTHING: "everything: SAM segments the whole picture; each mask takes its most frequent class. The slowest",
}
_COLUMNS = (("Class", "text"), ("Gained", "number"), ("Lost", "number"), ("Change", "number"))
_PIECE_COLUMNS = (
    *(("Component", "number"), ("Class", "text"), ("Area", "number"), ("Predicted IoU", "number")),
    *(("Agreement", "number"), ("Taken", "text")),
)


def refiners(available: Mapping[str, bool]) -> list[tuple[str, str]]:
    """Return (label, name) of each refiner; `available` maps names to whether the weights are downloaded, if known."""
    found = []
    for name, megabytes, remark in REFINERS:
        size = f" · {megabytes} MB" if megabytes else ""
        known = {True: "", False: " · not downloaded", None: ""}[available.get(name)]
        found.append((f"{name} · {remark}{size}{known}", name))
    return found


def modes() -> list[tuple[str, str]]:
    """Return (label, name) of each mode."""
    return [(_MODE_LABELS[name], name) for name in MODES]


def fetch_label(name: str, megabytes: int) -> str:
    """Return the plain text of the button that downloads weights."""
    return f"Fetch {name} ({megabytes} MB)"


def fetched(name: str) -> str:
    """Return HTML: message that the weights are downloaded."""
    return strip("calm", f"{name} is here.", "Press Refine.")


def news(better: RefinedView) -> str:
    """Return HTML: refiner and duration, unless masks were chosen by hand; number of components with a new mask."""
    components, by_hand = better.refined.report.components, better.request.keep is not None
    parts = ["the whole result was <b>reused</b>"] if better.after.result_cached and not by_hand else []
    if not better.after.result_cached and not by_hand:
        parts = [f"{html.escape(better.request.refiner)} took {seconds(better.refined.timings['refine'])}"]
    if components:
        accepted = sum(component.accepted for component in components)
        parts.append(f"{accepted} of {len(components)} components have a new mask")
    return f'<p class="facts">{" · ".join(parts)}</p>'


def share(better: RefinedView) -> str:
    """Return HTML: number and share of changed pixels, and classes that the refinement removed."""
    changed = better.refined.report.changed
    if not changed:
        return '<p class="facts">No pixel changed its class.</p>'
    part = percent(changed / better.refined.labels.size)
    lost = loss(better.refined)
    warning = strip("note", "Removed.", f"{lost} {REMEDY}") if lost else ""
    return f'<p class="facts"><b>{changed:,}</b> pixels changed their class, {part} of the picture.</p>{warning}'


def class_table(better: RefinedView) -> str:
    """Return an HTML table: pixels that each class gained and lost, most changed first."""
    report, colours = better.refined.report, _colours(better)
    names = sorted({*report.gained, *report.lost}, key=lambda name: (-_moved(better, name), name))
    if not names:
        return ""
    rows = ""
    for name in names:
        won, lost = report.gained.get(name, 0), report.lost.get(name, 0)
        rows += (
            f'<tr><td>{swatch(colours[name])}</td><th scope="row" data-value="{html.escape(name, quote=True)}">'
            f'{word(name)}</th><td data-value="{won}">{won:,}</td><td data-value="{lost}">{lost:,}</td>'
            f'<td data-value="{won - lost}">{won - lost:+,}</td></tr>'
        )
    return scrolling_table([COLOUR_HEAD, *(sort_head(*column) for column in _COLUMNS)], rows)


def component_table(better: RefinedView) -> str:
    """Return an HTML table: components given to SAM, its predicted quality, and whether each mask was accepted."""
    components = better.refined.report.components
    if not components:
        mode = EDGES if better.request.refiner == EDGES else better.request.mode
        return NO_COMPONENTS.get(mode, hint("No component is large enough for SAM; nothing was changed."))
    colours, size = _colours(better), better.refined.labels.size
    rows = "".join(
        f'<tr><td>{swatch(colours[component.class_name])}</td><th scope="row" data-value="{number}">{number}</th>'
        f'<td data-value="{html.escape(component.class_name, quote=True)}">{word(component.class_name)}</td>'
        f'<td data-value="{component.area}">{percent(component.area / size)}</td>'
        f'<td data-value="{component.predicted_iou:.4f}">{component.predicted_iou:.2f}</td>'
        f'<td data-value="{component.agreement:.4f}">{component.agreement:.2f}</td>'
        f'<td data-value="{"yes" if component.accepted else "no"}">'
        f"{'yes' if component.accepted else 'no: ' + html.escape(component.reason)}</td></tr>"
        for number, component in enumerate(components, start=1)
    )
    text = hint("Predicted IoU: how good SAM rates its mask. Agreement: overlap of mask and component. 1 is best.")
    return scrolling_table([COLOUR_HEAD, *(sort_head(*column) for column in _PIECE_COLUMNS)], rows, "components") + text


def component_choices(better: RefinedView) -> list[tuple[str, int]]:
    """Return (label, index) of each component; plain text, escaped by Gradio."""
    components = better.refined.report.components
    return [(f"{number} {component.class_name}", number - 1) for number, component in enumerate(components, start=1)]


def _moved(better: RefinedView, name: str) -> int:
    report = better.refined.report
    return report.gained.get(name, 0) + report.lost.get(name, 0)


def _colours(better: RefinedView) -> dict[str, str]:
    table = core.viz.palette.label_colours(better.refined)
    return {name: core.viz.palette.to_hex(table[index]) for index, name in enumerate(better.refined.class_names)}


NAMES = tuple(MEGABYTES)
OPACITY = 0.5
MOST_NUMBERS = 60
"""Maximum number of components with a number in the picture, largest first."""


class OfferView(NamedTuple):
    """New values of the components that offer refiners, by component name."""

    refiner: Any
    mode: Any
    fetch: Any


class FetchView(NamedTuple):
    """New values during and after a download, by component name."""

    fetch_news: Any
    fetching: Any


class RefineView(NamedTuple):
    """New values during and after refinement, by component name."""

    news: Any
    running: Any
    found: Any
    components: Any
    token: Any


class BetterView(NamedTuple):
    """New values of the components that show a refined result, by component name."""

    slider: Any
    share: Any
    boundaries: Any
    classes: Any
    component_table: Any
    refinement: Any


class ChosenView(NamedTuple):
    """New values after a choice of masks by hand, by component name."""

    news: Any
    slider: Any
    share: Any
    boundaries: Any
    classes: Any
    component_table: Any
    refinement: Any


NOTHING = BetterView(None, "", None, "", "", None)


class RefineHandlers:
    """Event handlers of the tab, one method for each event; no visitor's data is stored."""

    def __init__(self, service: Service) -> None:
        """Use one service for all pages."""
        self._service = service

    @errors_as_messages
    def offer(self, refiner: Any) -> OfferView:
        """Handle opening of the tab or choice of a refiner: show downloaded weights, modes and download button."""
        name = one_of("refiner", refiner, NAMES)
        available = {known: is_available(known) for known in NAMES}
        return OfferView(
            refiner=gr.Dropdown(refiners(available)),
            mode=gr.Radio(visible=name != EDGES),
            fetch=gr.Button(fetch_label(name, MEGABYTES[name]), visible=not available[name]),
        )

    @without_time_limit
    @errors_as_messages
    def fetch(self, refiner: Any) -> Iterator[FetchView]:
        """Handle Fetch: yield the progress of the download."""
        name = one_of("refiner", refiner, NAMES)
        try:
            yield from followed(
                lambda progress: fetch(name, progress),
                lambda share, message: FetchView(working(f"Fetching {name}", share, message), RUNNING),
            )
        except Exception:
            yield FetchView("", "")
            raise
        yield FetchView(fetched(name), "")

    @errors_as_messages
    def fetch_stopped(self, fetching: Any) -> FetchView:
        """Handle Stop: show a message only if a download was running."""
        return FetchView(FETCH_STOPPED, "") if fetching else same(FetchView)

    @errors_as_messages
    def refine(self, run: Run | None, path: str | None, refiner: Any, mode: Any) -> Iterator[tuple[Any, ...]]:
        """Handle Refine: yield the progress, then the result before and after."""
        if run is None:
            raise UserError("There is no result yet. Press Segment first.")
        name, way = one_of("refiner", refiner, NAMES), one_of("mode", mode, MODES)
        expect_available(name)
        request = Refinement(run, name, mode_of(name, way))
        hidden = RefineView(EMPTY, "", gr.Column(visible=False), gr.CheckboxGroup(visible=False), "")
        try:
            better: RefinedView = yield from followed(
                lambda progress: self._service.refine(request, path, progress),
                lambda share, message: (
                    *hidden._replace(news=working(f"{name}:", share, message), running=RUNNING),
                    *NOTHING,
                ),
            )
        except Exception:
            yield (*hidden, *NOTHING)
            raise
        view = RefineView(news(better), "", gr.Column(visible=True), _choices(better), request.token)
        yield (*view, *_view(better))

    @errors_as_messages
    def choose(self, refinement: Refinement | None, token: str, path: str | None, components: Any) -> ChosenView:
        """Handle a change of the ticked components: merge again; events of an older result are ignored."""
        if refinement is None or token != refinement.token:
            return same(ChosenView)
        if not isinstance(components, list):
            raise UserError(f"components: expected a list of numbers, got {named(components)}. Tick those to be used.")
        keep = tuple(sorted({whole("component", component, 0) for component in components}))
        better = self._service.refine(dataclasses.replace(refinement, keep=keep), path)
        return ChosenView(news(better), *_view(better))

    @errors_as_messages
    def stopped(self, running: Any) -> RefineView:
        """Handle Stop or a new picture: show a message only if a refinement was running."""
        unchanged = same(RefineView)
        return unchanged._replace(news=STOPPED, running="") if running else unchanged

    @errors_as_messages
    def forget(self, refinement: Refinement | None, run: Run | None) -> tuple[Any, ...]:
        """Handle a new result: clear the refined result, unless there is none or it belongs to the new result."""
        if refinement is None or refinement.run == run:
            return tuple(gr.skip() for _ in (*RefineView._fields, *BetterView._fields))
        gone = RefineView(EMPTY, "", gr.Column(visible=False), gr.CheckboxGroup([], value=[], visible=False), "")
        return (*gone, *NOTHING)

    @errors_as_messages
    def download(
        self, refinement: Refinement | None, path: str | None, last: DisplayState | None
    ) -> Iterator[DownloadView]:
        """Handle Download: yield the progress, then the refined result as one archive, with the fixes made on it."""
        if refinement is None:
            raise UserError("There is no refined result yet. Press Refine first.")
        # Above, coarse boundaries may be shown, whose fixes are not this result's.
        state = last if last and last.refinement == refinement else DisplayState(refinement.run, refinement)
        yield from downloaded(lambda progress: bundle(self._service, state, path, progress), DOWNLOAD)


def _choices(better: RefinedView) -> Any:
    taken = [index for index, component in enumerate(better.refined.report.components) if component.accepted]
    return gr.CheckboxGroup(component_choices(better), value=taken, visible=bool(better.refined.report.components))


def _view(better: RefinedView) -> BetterView:
    before, after, colours = better.before, better.after, core.viz.palette.label_colours(better.refined)
    shown = better.refined.report.components[:MOST_NUMBERS]
    numbers = [(i, component.point) for i, component in enumerate(shown, start=1)]
    left, right = (outlined(view.shown, view.labels, colours, OPACITY) for view in (before, after))
    return BetterView(
        slider=(left, right),
        share=share(better),
        boundaries=boundaries(better.pixels, before.result.labels, after.result.labels, numbers),
        classes=class_table(better),
        component_table=component_table(better),
        refinement=better.request,
    )


NAME = "refine"
FIRST = "sam-nano+edges"
FILE = "refined-file"


@dataclass(frozen=True)
class Refine:
    """Components of the tab; `found` contains the components for a refined result and is hidden until there is one."""

    refiner: gr.Dropdown
    mode: gr.Radio
    fetch: gr.Button
    fetch_news: gr.HTML
    fetching: gr.Textbox
    go: gr.Button
    stop: gr.Button
    news: gr.HTML
    running: gr.Textbox
    found: gr.Column
    slider: gr.ImageSlider
    share: gr.HTML
    boundaries: gr.Image
    classes: gr.HTML
    component_table: gr.HTML
    components: gr.CheckboxGroup
    download: gr.Button
    file: gr.DownloadButton
    refinement: gr.State
    token: gr.Textbox


def draw() -> Refine:
    """Create the components in the current Gradio layout context."""
    gr.HTML(START, padding=False)
    refiner = gr.Dropdown(refiners({}), value=FIRST, label="Refiner", filterable=False, elem_id="refiner")
    mode = gr.Radio(modes(), value=PROMPTS, label="SAM mode", elem_id="refine-mode")
    fetch = gr.Button("Fetch", visible=False, elem_id="refine-fetch")
    fetch_news = gr.HTML("", elem_id="refine-fetch-news", padding=False)
    with gr.Row():
        go = gr.Button("Refine", variant="primary", elem_id="refine-go", scale=3, min_width=160)
        stop = gr.Button("Stop", elem_id="refine-stop", scale=1, min_width=70)
    news = gr.HTML(EMPTY, elem_id="refine-news", min_height=30, padding=False)
    with gr.Column(visible=False) as found:
        parts = _results()
    return Refine(
        refiner=refiner,
        mode=mode,
        fetch=fetch,
        fetch_news=fetch_news,
        fetching=hidden_text("refine-fetching"),
        go=go,
        stop=stop,
        news=news,
        running=hidden_text("refine-running"),
        found=found,
        file=gr.DownloadButton("Download", visible="hidden", elem_id=FILE),  # outside columns, which would show it
        refinement=gr.State(None),
        token=hidden_text("refine-token"),
        **parts,
    )


def wire(
    tab: Refine, opened: gr.Tab, shared: Shared, last: gr.State, stop: gr.Button, handlers: RefineHandlers
) -> list[Any]:
    """Connect the events of this tab. Return the events that make a refined result.

    Args:
        tab: components of the tab.
        opened: the tab itself.
        shared: components of the picture and the run.
        last: State of the shown result with its fixes.
        stop: the page's Stop button, which also stops a refinement.
        handlers: handlers of these events.
    """
    offer: dict[str, Any] = {"fn": handlers.offer, "inputs": tab.refiner, "outputs": outputs(tab, OfferView), **CHEAP}
    gr.on([opened.select, tab.refiner.input], **offer)
    fetching = tab.fetch.click(
        handlers.fetch,
        tab.refiner,
        outputs(tab, FetchView),
        **UNSEEN,
        concurrency_limit=1,
        concurrency_id="load",  # a queue of its own: a long download must not delay results
        **PRIVATE,
    )
    fetching.success(**offer)
    everything = [*outputs(tab, RefineView), *outputs(tab, BetterView)]
    running = tab.go.click(
        handlers.refine,
        [shared.run, shared.image, tab.refiner, tab.mode],
        everything,
        **QUIET,
    )
    choosing = tab.components.input(
        handlers.choose,
        [tab.refinement, tab.token, shared.image, tab.components],
        outputs(tab, ChosenView),
        **LAST,
        **QUIET,
    )
    made = tab.download.click(
        handlers.download,
        [tab.refinement, shared.image, last],
        outputs(tab, DownloadView),
        **QUIET,
    )
    made.success(None, None, None, js=fetch_file(FILE), **PRIVATE)
    wire_end([tab.stop.click], [fetching], handlers.fetch_stopped, tab.fetching, outputs(tab, FetchView))
    ended = (handlers.stopped, tab.running, outputs(tab, RefineView))
    wire_end([tab.stop.click, stop.click], [running], *ended)
    wire_end([shared.image.input], [running, choosing], *ended)
    # A refined result belongs to the result that was shown at its start. Nothing is cancelled here: this event may
    # arrive late, after Refine was pressed for the new result.
    shared.token.change(handlers.forget, [tab.refinement, shared.run], everything, **EACH, **CHEAP)
    return [running, choosing]


def _results() -> dict[str, Any]:
    """Create the components for a refined result."""
    caption("Left: before · right: after")
    slider = gr.ImageSlider(
        label="Before and after",
        show_label=False,
        format="jpeg",
        interactive=False,
        max_height=420,
        buttons=["fullscreen"],
        elem_id="refine-slider",
    )
    share = gr.HTML("", elem_id="refine-share", min_height=30, padding=False)
    boundaries = shown("Boundaries before and after", "refine-boundaries", "png", height=380)
    gr.HTML(KEY, padding=False)
    caption("Pixels that each class gained and lost")
    classes = gr.HTML("", elem_id="refine-classes", padding=False)
    caption("Components, and the use of SAM's masks")
    return {
        "slider": slider,
        "share": share,
        "boundaries": boundaries,
        "classes": classes,
        "component_table": gr.HTML("", elem_id="refine-component-table", padding=False),
        "components": gr.CheckboxGroup(
            [],
            label="Components that take SAM's mask",
            info=COMPONENTS_INFO,
            visible=False,
            elem_id="refine-components",
        ),
        "download": gr.Button(DOWNLOAD, elem_id="refine-download"),
    }
