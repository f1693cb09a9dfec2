"""The page: its tabs, and events that concern more than one of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from demo import changing, reopen, review
from demo.api import Endpoints, publish
from demo.changing import ChangeHandlers
from demo.examples import read_examples
from demo.guard import GuardedBlocks, OnlyPublicCalls, SafeHeaders
from demo.handling import further_options, request_fields, spoken
from demo.html import strip
from demo.installable import Installable
from demo.opening import PageHandlers
from demo.reopen import ReopenHandlers
from demo.review import ReviewHandlers
from demo.security import Gate
from demo.service import Service
from demo.settings import DELETE_CACHE, ICON, MAX_UPLOAD_BODY, QUEUE_SIZE
from demo.static import static
from demo.tabs import ask, attention, batch, clusters, compare, lens, model, my_pictures, refine, result, tour, words
from demo.tabs.ask import PLAIN
from demo.tabs.attention import AttentionHandlers
from demo.tabs.batch import BatchHandlers
from demo.tabs.clusters import ClustersHandlers
from demo.tabs.common import CHEAP, EACH, LAST, PRIVATE, QUIET, Shared, hidden_text
from demo.tabs.compare import CompareHandlers
from demo.tabs.model import ModelHandlers, banner
from demo.tabs.my_pictures import MyPicturesHandlers
from demo.tabs.refine import RefineHandlers
from demo.tabs.result import ResultView, SegmentHandlers
from demo.tabs.tour import TourHandlers
from demo.tabs.words import WordsHandlers
from demo.theme import CSS, SCRIPT, theme
from demo.visitors import Departures

TITLE = "CLIPtrase Lab"
BAR = (
    '<nav id="bar" aria-label="Parts of the page"><button type="button" data-go="#result">Result</button>'
    '<button type="button" data-go="#lens">Why</button>'
    '<button type="button" data-go="#tabs" data-tab="Refine">Edges</button>'
    '<button type="button" data-go="#tabs">More</button></nav>'
)
"""Navigation bar at the lower edge of a phone's screen."""
WORKING = strip("busy", "Working:", "the picture is being segmented.")
STARTED = f"() => lab.started({json.dumps(WORKING)})"
AGAIN = f"(token, status) => token ? lab.started({json.dumps(WORKING)}) : status"  # nothing runs without a result
STOPPED = f"() => lab.halted({json.dumps(result.STOPPED)})"
SAID = f"picture ? {json.dumps(result.NEW_PICTURE)} : {json.dumps(result.NO_PICTURE)}"
PICTURE = f"picture => [lab.pictured(picture, {SAID}), '']"  # no example: a link cannot contain an upload
NO_ANSWER = result.failed("There is no new result. Try again, and with numbers in their ranges.")
UNANSWERED = f"status => lab.unanswered(status, {json.dumps(NO_ANSWER)})"
NAMES, PLAINLY = json.dumps(["example", "words", *PLAIN]), json.dumps(["", "", *PLAIN.values()])
GONE = strip("note", "The picture of this address is not here.", "Upload it (again); the words are in the field.")
OPENED = f"(...values) => lab.opened({json.dumps(GONE)}, ...values)"
AGAIN_BY = {"threshold": "release", "background_words": "submit", "model": "change"}
"""Events by which a changed field of a request segments again; for the others it is `input`."""
AGAIN_NEVER = ("words", "everything_else_chosen")
"""Fields of a request whose change waits for Segment."""
REST = "(result, now, text) => [lab.rest(result, now), lab.stillOffered(text)]"
REMEMBER = f"(...values) => lab.remember({NAMES}, {PLAINLY}, values)"


@dataclass(frozen=True)
class Page:
    """All components of the page."""

    head: model.Head
    timer: gr.Timer
    ask: ask.Ask
    result: result.Result
    lens: gr.HTML
    attention: attention.Attention
    clusters: clusters.ClustersTab
    refine: refine.Refine
    compare: compare.Compare
    batch: batch.BatchTab
    tour: tour.Tour
    mine: my_pictures.MyPictures
    reopen: gr.UploadButton
    words: gr.HTML
    tabs: gr.Tabs
    chosen: model.Model
    shared: Shared

    @property
    def request(self) -> dict[str, Any]:
        """Fields that determine a result, by name, in the order of `read_request`."""
        places = {**self.settings, "model": self.head.model}
        return {name: places[name] for name in request_fields()}

    @property
    def settings(self) -> dict[str, Any]:
        """Fields that a saved result fills in, by name."""
        places = {**vars(self.clusters), **vars(self.ask)}
        further = zip(further_options(), self.ask.further, strict=True)
        return {**{name: places[name] for name in reopen.SETTINGS}, **{one.name: place for one, place in further}}

    @property
    def remembered(self) -> list[Any]:
        """Fields of the address: example, words, settings of `PLAIN`, origin of everything_else; picture and token."""
        settings = [self.settings[name] for name in PLAIN]
        plain = [self.ask.example, self.ask.words, *settings]
        return [*plain, self.ask.everything_else_chosen, self.ask.image, self.shared.token]


def build(service: Service) -> gr.Blocks:
    """Draw the page and wire its events; loads nothing."""
    with GuardedBlocks(title=TITLE, analytics_enabled=False, delete_cache=DELETE_CACHE) as blocks:
        publish(Endpoints(service))  # first: the endpoints need the plain names, which handlers would take otherwise
        page, opened = _draw(service)
        handlers = SegmentHandlers(service)
        refining = [page.refine.refiner, page.refine.mode, page.refine.refinement]
        result.wire(page.result, page.lens, page.shared, handlers)
        changes = ChangeHandlers(service)
        fixing = changing.wire(page.result, page.shared, refining, changes)
        _wire_lens(page, lens.LensHandlers(service))
        attention.wire(
            page.attention, opened[attention.NAME], page.shared, page.result.place, AttentionHandlers(service)
        )
        clusters.wire(page.clusters, opened[clusters.NAME], page.shared, ClustersHandlers(service))
        tour.wire(page.tour, opened[tour.NAME], TourHandlers(service))
        model.wire_head(page.head, ModelHandlers(service))
        sizes = (page.ask.preset, page.ask.short_side)
        model.wire(page.chosen, opened[model.NAME], page.shared, sizes, ModelHandlers(service))
        for name, tab in opened.items():
            tab.select(None, None, page.shared.active, js=f"() => '{name}'", **PRIVATE)
        _wire_opening(page, PageHandlers(service), blocks)
        words.wire(page.words, blocks, WordsHandlers())
        settings, places = page.settings, (page.result, page.shared)
        saved = {**settings, **reopen.of_batch(page.batch, page.refine.mode, page.tabs)}
        reopened = reopen.wire(page.reopen, saved, page.head.model, *places, ReopenHandlers(service, handlers))
        reviewed = review.wire(page.batch, settings, *places, ReviewHandlers(service, handlers))
        running = _wire_segmenting(page, PageHandlers(service), handlers, changes, [reopened, reviewed])
        running.append(fixing)
        _wire_endings(page, running, handlers)
        gone = [page.ask.image, page.ask.opening, *result.result_outputs(page.result)]
        my_pictures.wire(page.mine, gone, running, MyPicturesHandlers(service, result.NO_RESULT))
        # After segmenting: a browser runs the listeners of one event in turn, each to its end. A new picture must first
        # cancel the running events; if this waited, it would also cancel requests made in the meantime.
        ask.wire(page.ask)
        place, kept = opened[refine.NAME], page.result.shown
        refined = refine.wire(page.refine, place, page.shared, kept, page.ask.stop, RefineHandlers(service))
        taking = [changing.wire_taking(one, *places, page.refine.refinement, changes) for one in refined]
        gr.on([page.ask.stop.click, page.shared.image.input], None, None, None, cancels=taking, **PRIVATE)
        compare.wire(page.compare, page.shared, kept, page.ask.stop, CompareHandlers(service))
        above, delete = (kept, page.result.in_batch), page.mine.delete
        fields, queue = [*page.request.values()], BatchHandlers(service)
        batch.wire(page.batch, fields, page.refine.mode, above, page.shared, delete, reopened[0], queue)
    blocks.queue(max_size=QUEUE_SIZE, default_concurrency_limit=4, api_open=False)
    return blocks


def launch_options(ready: Callable[[], bool] = lambda: True) -> dict[str, Any]:
    """Return arguments for `launch`; address and port stay Gradio's own (GRADIO_SERVER_NAME, GRADIO_SERVER_PORT).

    Args:
        ready: function that returns whether a model is loaded, for /healthz.
    """
    return {
        "share": False,
        "max_file_size": MAX_UPLOAD_BODY,  # of archives; `security` knows the limit of pictures
        "enable_monitoring": False,
        "run_history": False,
        "show_error": False,
        "footer_links": ["api"],
        "allowed_paths": [str(example.path) for example in read_examples()],  # not other files of that folder
        "theme": theme(),
        "css": CSS,
        "head": f"<style>{static('frame.css')}</style>",
        "app_kwargs": {
            "middleware": [
                Middleware(SafeHeaders),
                Middleware(Gate, ready),
                Middleware(OnlyPublicCalls),
                Middleware(Departures),
                Middleware(Installable, TITLE),
            ]
        },
        "js": SCRIPT,
        "pwa": True,  # installable: a browser can install the page as an app
        "favicon_path": str(ICON),
    }


def _draw(service: Service) -> tuple[Page, dict[str, gr.Tab]]:
    """Draw all components. Return them, and the tabs by name."""
    opened: dict[str, gr.Tab] = {}
    top = model.draw_head(banner(service.status()))
    run, token = gr.State(None), hidden_text("token")
    parts = ask.draw_top()
    found = result.draw(run, token, parts["status"])
    why = lens.draw()
    with gr.Tabs(elem_id="tabs") as tabs:
        with gr.Tab("Settings", id=ask.NAME) as opened[ask.NAME]:
            listed = words.draw()
            parts.update(ask.draw_settings())
            with gr.Row(elem_id="reopen-place"):
                parts["copy_link"], saved = ask.draw_copy_link(), reopen.draw()
        with gr.Tab("Attention", id=attention.NAME) as opened[attention.NAME]:
            inspected = attention.draw()
        with gr.Tab("Clusters", id=clusters.NAME) as opened[clusters.NAME]:
            grouped = clusters.draw()
        with gr.Tab("Refine", id=refine.NAME) as opened[refine.NAME]:
            refined = refine.draw()
        with gr.Tab("Compare", id=compare.NAME) as opened[compare.NAME]:
            compared = compare.draw()
        with gr.Tab("Batch", id=batch.NAME) as opened[batch.NAME]:
            many = batch.draw()
        with gr.Tab("Model", id=model.NAME) as opened[model.NAME]:
            chosen = model.draw(top.banner, top.model)
        with gr.Tab("Guided tour", id=tour.NAME) as opened[tour.NAME]:
            toured = tour.draw()
    own = my_pictures.draw()
    gr.HTML(BAR, padding=False, elem_id="bar-place")
    asking = ask.Ask(**parts)
    shared = Shared(asking.image, run, token, hidden_text("active", ask.NAME))
    page = Page(
        head=top,
        timer=gr.Timer(1.0),
        ask=asking,
        result=found,
        lens=why,
        attention=inspected,
        clusters=grouped,
        refine=refined,
        compare=compared,
        batch=many,
        tour=toured,
        mine=own,
        reopen=saved,
        words=listed,
        tabs=tabs,
        chosen=chosen,
        shared=shared,
    )
    return page, opened


def _wire_opening(page: Page, handlers: PageHandlers, blocks: gr.Blocks) -> None:
    a, names = page.ask, ("examples", "opening", "opening_words", "opening_example")
    places = {**page.settings, **{name: getattr(a, name) for name in names}, "session": page.mine.session}
    places |= {"banner": page.head.banner, "offer": page.head.offer}

    def filled(request: gr.Request) -> dict[Any, Any]:
        return {places[name]: value for name, value in handlers.greet(request).items()}

    greeted = blocks.load(filled, None, [*places.values()], **CHEAP)
    opening, mine = [a.opening, a.opening_words, a.opening_example], [a.image, a.words]
    greeted.then(None, [*opening, *mine, a.status], [*mine, a.example, a.linked, a.status], js=OPENED, **PRIVATE)
    page.timer.tick(handlers.tick, page.head.model, [*page.head.shown, page.timer], **CHEAP)


def _wire_lens(page: Page, handlers: lens.LensHandlers) -> None:
    shared = page.shared
    lens.wire(page.lens, shared.run, shared.image, handlers)
    shared.token.change(handlers.show, [shared.run, shared.image], page.lens, **EACH, **lens.QUIET)


def _wire_segmenting(
    page: Page,
    opening: PageHandlers,
    handlers: SegmentHandlers,
    changes: ChangeHandlers,
    brought: list[tuple[Any, Any]],
) -> list[Any]:
    """Wire the events that make results. Return all events that may run long, including those in `brought`.

    Each pair of `brought` is an event that restores a result, and the one that refines and fixes it.
    """
    out: dict[str, Any] = {"outputs": result.result_outputs(page.result), **QUIET}
    status_view = (ResultView, "status", result.failed)
    inputs = [page.shared.image, *page.request.values()]
    run = {"fn": spoken(handlers.segment, *status_view), **_sent(inputs, page.ask.everything_else), **out}
    pressing = [page.ask.go.click, page.ask.words.submit, page.ask.linked.change]
    giving = [page.ask.examples.select, page.tour.take.click]
    gr.on([*pressing, *giving], None, None, page.ask.status, js=STARTED, **PRIVATE)  # first: it waits for no server
    pressed = gr.on(pressing, **run, **LAST)
    example = [page.ask.image, page.ask.words, page.ask.example]
    picked = page.ask.examples.select(opening.pick_example, None, example, **EACH, **CHEAP)
    followed = picked.success(**run, **LAST)
    taken = page.tour.take.click(opening.take_over, None, example, **CHEAP, **LAST)
    toured = taken.success(**run, **LAST)
    a = page.ask
    # First: the next listeners depend on it, and listeners of one event run in order, each to its end.
    a.everything_else.input(None, None, a.everything_else_chosen, js="() => 'yes'", **PRIVATE)
    changing_it = [
        getattr(place, AGAIN_BY.get(name, "input")) for name, place in page.request.items() if name not in AGAIN_NEVER
    ]
    gr.on(changing_it, None, [page.shared.token, a.status], a.status, js=AGAIN, **PRIVATE)
    changed = gr.on(
        changing_it,
        spoken(handlers.resegment, *status_view),
        **_sent([page.shared.run, *inputs], page.ask.everything_else),
        **out,
        **LAST,
    )
    making, back = [pressed, followed, toured, changed], [made for made, _ in brought]
    restoring = [changing.wire_restoring(event, page.result, page.shared, changes) for event in making]
    for event in (picked, taken, *making, *back):
        event.failure(None, a.status, a.status, js=UNANSWERED, **PRIVATE)
    for event in (pressed, followed, *back):
        event.success(None, None, None, js="() => lab.showResult()", **PRIVATE)
    toured.success(None, None, None, js="() => lab.showOpened()", **PRIVATE)  # the tour is far below
    _wire_after([*making, *back], page, opening, handlers)
    return [*making, *restoring, *(event for pair in brought for event in pair)]


def _sent(inputs: list[Any], rest: gr.Checkbox) -> dict[str, Any]:
    """Return the inputs of an event that makes a result, and the script that counts its requests."""
    return {"inputs": inputs, "js": f"(...values) => lab.sending(values, {inputs.index(rest)})"}


def _wire_after(made: list[Any], page: Page, opening: PageHandlers, handlers: SegmentHandlers) -> None:
    """Wire the steps after each event that makes a result."""
    for event in made:
        event.then(None, page.remembered, None, js=REMEMBER, **PRIVATE)
        # The page guesses from the words whether everything else is a class; the server decides.
        both = [page.ask.everything_else, page.result.suggested]
        event.success(None, [page.result.result, *both], both, js=REST, **PRIVATE)
        # The model may have changed meanwhile: show the model that made this result, or that runs next.
        event.success(opening.tick, page.head.model, [*page.head.shown, page.timer], **CHEAP)
        for handler, place in ((handlers.absent, page.result.absent), (handlers.findings, page.result.findings)):
            event.success(handler, [page.shared.run, page.shared.image], place, **QUIET)


def _wire_endings(page: Page, running: list[Any], handlers: SegmentHandlers) -> None:
    """Wire the events that end a run: Stop, and a new picture."""
    page.ask.stop.click(None, None, page.ask.status, cancels=running, js=STOPPED, **PRIVATE)
    # New picture: a result of the previous one must not appear beside it. The cancelling is a separate listener and
    # the first: after `forget` it would wait for the server, and would cancel a Segment pressed in the meantime.
    # It also clears the example at once: else a fast Segment would store the upload in the history as that example.
    told = [page.ask.status, page.ask.example]
    page.shared.image.input(None, page.shared.image, told, cancels=running, js=PICTURE, **PRIVATE)
    # Queued, not CHEAP: if late, it would remove the result of a Segment that was pressed after it.
    forgotten = result.result_outputs(page.result)
    forgot = page.shared.image.input(handlers.forget, page.shared.image, forgotten, **LAST, **QUIET)
    forgot.then(None, None, None, js="() => lab.pressEarly()", **PRIVATE)
    layout = [page.ask.preset, page.ask.short_side, page.head.model]
    offered = forgot.success(handlers.suggest, [page.shared.image, *layout], page.result.suggested, **QUIET)
    offered.success(None, page.result.suggested, None, js="text => lab.offered(text)", **PRIVATE)
