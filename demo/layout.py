"""The page: its parts, and the events that concern more than one of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from demo.endpoints import Endpoints
from demo.guard import GuardedBlocks, OnlyPublicCalls
from demo.handlers.address import PLAIN
from demo.handlers.attention import AttentionHandlers
from demo.handlers.clusters import ClustersHandlers
from demo.handlers.common import spoken
from demo.handlers.compare import CompareHandlers
from demo.handlers.model import ModelHandlers
from demo.handlers.page import GreetView, PageHandlers
from demo.handlers.refine import RefineHandlers
from demo.handlers.segment import ResultView, SegmentHandlers
from demo.handlers.tour import TourHandlers
from demo.headers import SafeHeaders
from demo.installable import Installable
from demo.presenters import segment as presenters
from demo.presenters.model import banner
from demo.published import publish
from demo.security import Gate
from demo.service import Service
from demo.settings import DELETE_CACHE, EXAMPLES, ICON, MAX_UPLOAD_BYTES, QUEUE_SIZE, SESSIONS
from demo.static import static
from demo.style import CSS, theme
from demo.tabs import ask, attention, clusters, compare, head, lens, model, refine, result, tour
from demo.tabs.common import CHEAP, ONE_AT_A_TIME, PRIVATE, Shared, hidden_text

TITLE = "CLIPtrase Lab"
BAR = (
    '<nav id="bar" aria-label="Parts of the page"><button type="button" data-go="#result">Result</button>'
    '<button type="button" data-go="#lens">Why</button>'
    '<button type="button" data-go="#tabs" data-tab="Refine">Edges</button>'
    '<button type="button" data-go="#tabs">More</button></nav>'
)
"""What a phone shows at its lower edge."""
STARTED, ENDED = "() => lab.started()", "() => lab.ended()"
NAMES, PLAINLY = json.dumps(["example", "words", *PLAIN]), json.dumps(["", "", *PLAIN.values()])
REMEMBER = f"(...values) => lab.remember({NAMES}, {PLAINLY}, values)"


@dataclass(frozen=True)
class Page:
    """Every part of the page."""

    head: head.Head
    timer: gr.Timer
    ask: ask.Ask
    result: result.Result
    lens: gr.HTML
    attention: attention.Attention
    clusters: clusters.Clusters
    refine: refine.Refine
    compare: compare.Compare
    tour: tour.Tour
    tabs: gr.Tabs
    chosen: model.Model
    shared: Shared

    @property
    def asked(self) -> list[Any]:
        """The fields that decide a result, in the order in which `read_asked` takes them."""
        a, c = self.ask, self.clusters
        return [
            *(a.words, a.background, a.background_words, a.threshold, a.method, a.preset, a.short_side),
            *(a.templates, a.image_prior, a.everything_else, a.everything_else_chosen, a.skip_missing),
            *(c.denoise, c.automatic, c.eps, c.min_samples, self.head.model, *a.further),
        ]

    @property
    def remembered(self) -> list[Any]:
        """What the page's address holds: example, words, the settings of `PLAIN`, and who chose everything else."""
        places = {**vars(self.clusters), **vars(self.ask)}
        return [self.ask.example, self.ask.words, *(places[name] for name in PLAIN), self.ask.everything_else_chosen]


def build(service: Service) -> gr.Blocks:
    """Draw the page and wire it; loads nothing."""
    with GuardedBlocks(title=TITLE, analytics_enabled=False, delete_cache=DELETE_CACHE) as blocks:
        publish(Endpoints(service))  # first: they get the plain names, which Gradio makes of the handlers' otherwise
        page, opened = _draw(service)
        handlers = SegmentHandlers(service)
        result.wire(page.result, page.lens, page.shared, handlers)
        _wire_lens(page, lens.LensHandlers(service))
        attention.wire(page.attention, opened[attention.NAME], page.shared, AttentionHandlers(service))
        clusters.wire(page.clusters, opened[clusters.NAME], page.shared, ClustersHandlers(service))
        tour.wire(page.tour, opened[tour.NAME], TourHandlers(service))
        head.wire(page.head, ModelHandlers(service))
        model.wire(page.chosen, opened[model.NAME], page.shared, page.ask, ModelHandlers(service))
        for name, tab in opened.items():
            tab.select(None, None, page.shared.active, js=f"() => '{name}'", **PRIVATE)
        _wire_opening(page, PageHandlers(service), blocks)
        _wire_segmenting(page, PageHandlers(service), handlers)
        # After segmenting: a browser runs the listeners of one event in turn, each to its end, and the first thing that
        # another picture does is to cancel what runs. Were that to wait, it would cancel what was asked since.
        ask.wire(page.ask)
        refine.wire(page.refine, opened[refine.NAME], page.shared, page.ask.stop, RefineHandlers(service))
        compare.wire(page.compare, page.shared, page.ask.stop, CompareHandlers(service))
    blocks.queue(max_size=QUEUE_SIZE, default_concurrency_limit=4, api_open=False)
    return blocks


def launch_options(ready: Callable[[], bool] = lambda: True) -> dict[str, Any]:
    """Arguments for `launch`; address and port stay Gradio's own (GRADIO_SERVER_NAME, GRADIO_SERVER_PORT).

    Args:
        ready: whether a model is loaded, for /healthz.
    """
    return {
        "share": False,
        "max_file_size": MAX_UPLOAD_BYTES,
        "state_session_capacity": SESSIONS,
        "enable_monitoring": False,
        "run_history": False,
        "show_error": False,
        "footer_links": ["api"],
        "allowed_paths": [str(EXAMPLES)],
        "theme": theme(),
        "css": CSS,
        "head": f"<style>{static('frame.css')}</style>",
        "app_kwargs": {
            "middleware": [
                Middleware(SafeHeaders),
                Middleware(Gate, ready),
                Middleware(OnlyPublicCalls),
                Middleware(Installable, TITLE),
            ]
        },
        "js": static("app.js"),
        "pwa": True,  # installable: a browser offers the page as an app of its own
        "favicon_path": str(ICON),
    }


def _draw(service: Service) -> tuple[Page, dict[str, gr.Tab]]:
    """The parts in their places, and the tabs by name."""
    opened: dict[str, gr.Tab] = {}
    top = head.draw(banner(service.status()))
    run, token = gr.State(None), hidden_text("token")
    parts = ask.draw_top()
    found = result.draw(run, token, parts["status"])
    why = lens.draw()
    with gr.Tabs(elem_id="tabs") as tabs:
        with gr.Tab("Settings", id=ask.NAME) as opened[ask.NAME]:
            parts.update(ask.draw_settings())
        with gr.Tab("Attention", id=attention.NAME) as opened[attention.NAME]:
            looked = attention.draw()
        with gr.Tab("Clusters", id=clusters.NAME) as opened[clusters.NAME]:
            grouped = clusters.draw()
        with gr.Tab("Refine", id=refine.NAME) as opened[refine.NAME]:
            refined = refine.draw()
        with gr.Tab("Compare", id=compare.NAME) as opened[compare.NAME]:
            compared = compare.draw()
        with gr.Tab("Model", id=model.NAME) as opened[model.NAME]:
            chosen = model.draw(top.banner, top.model)
        with gr.Tab("Guided tour", id=tour.NAME) as opened[tour.NAME]:
            told = tour.draw()
    gr.HTML(BAR, padding=False, elem_id="bar-place")
    asked = ask.Ask(**parts)
    shared = Shared(asked.image, run, token, hidden_text("active", ask.NAME))
    page = Page(
        head=top,
        timer=gr.Timer(1.0),
        ask=asked,
        result=found,
        lens=why,
        attention=looked,
        clusters=grouped,
        refine=refined,
        compare=compared,
        tour=told,
        tabs=tabs,
        chosen=chosen,
        shared=shared,
    )
    return page, opened


def _wire_opening(page: Page, handlers: PageHandlers, blocks: gr.Blocks) -> None:
    places = {
        **vars(page.clusters),
        **vars(page.ask),
        "banner": page.head.banner,
        "offer": page.head.offer,
    }
    a = page.ask
    greeted = blocks.load(handlers.greet, None, [places[name] for name in GreetView._fields], **CHEAP)
    opening, mine = [a.opening, a.opening_words, a.opening_example], [a.image, a.words]
    greeted.then(None, [*opening, *mine], [*mine, a.example, a.linked], js="(...v) => lab.opened(...v)", **PRIVATE)
    page.timer.tick(handlers.tick, page.head.model, [*page.head.shown, page.timer], **CHEAP)


def _wire_lens(page: Page, handlers: lens.LensHandlers) -> None:
    shared = page.shared
    lens.wire(page.lens, shared.run, shared.image, handlers)
    shared.token.change(handlers.show, [shared.run, shared.image], page.lens, **lens.QUIET)  # another result, or none


def _wire_segmenting(page: Page, opening: PageHandlers, handlers: SegmentHandlers) -> None:
    out = result.result_outputs(page.result)
    inputs = [page.shared.image, *page.asked]
    common: dict[str, Any] = {"outputs": out, "show_progress": "hidden", **ONE_AT_A_TIME, **PRIVATE}
    said = (ResultView, "status", presenters.failed)
    run: dict[str, Any] = {"fn": spoken(handlers.segment, *said), "inputs": inputs, **common}
    pressing = [page.ask.go.click, page.ask.words.submit, page.ask.linked.change]
    gr.on(pressing, None, None, None, js=STARTED, **PRIVATE)
    pressed = gr.on(pressing, **run)
    example = [page.ask.image, page.ask.words, page.ask.example]
    picked = page.ask.examples.select(opening.pick_example, None, example, js=STARTED, **CHEAP)
    followed = picked.success(**run)
    taken = page.tour.take.click(opening.take_over, None, example, js=STARTED, **CHEAP)
    told = taken.success(**run)
    again: dict[str, Any] = {
        "fn": spoken(handlers.resegment, *said),
        "inputs": [page.shared.run, *inputs],
        "trigger_mode": "always_last",
        **common,
    }
    c, a = page.clusters, page.ask
    # First: what follows is decided by it, and listeners of one event run in turn, each to its end.
    a.everything_else.input(None, None, a.everything_else_chosen, js="() => 'yes'", **PRIVATE)
    changed = gr.on(
        [
            *(c.denoise.input, c.automatic.input, c.eps.input, c.min_samples.input),
            *(a.threshold.release, a.background.input, a.background_words.submit, a.method.input),
            *(a.preset.input, a.short_side.input, a.templates.input, a.image_prior.input, page.head.model.change),
            *(a.everything_else.input, a.skip_missing.input, *(one.input for one in a.further)),
        ],
        **again,
    )
    running = [pressed, followed, told, changed]
    for event in (pressed, followed, told):
        event.success(None, None, None, js="() => lab.showResult()", **PRIVATE)
    for event in running:
        event.then(None, page.remembered, None, js=REMEMBER, **PRIVATE)
        # Another model may have come meanwhile: what is said to run is what made this result, or runs next.
        event.success(opening.tick, page.head.model, [*page.head.shown, page.timer], **CHEAP)
        for handler, place in ((handlers.absent, page.result.absent), (handlers.findings, page.result.findings)):
            event.success(
                handler,
                [page.shared.run, page.shared.image],
                place,
                show_progress="hidden",
                **ONE_AT_A_TIME,
                **PRIVATE,
            )
    a.stop.click(lambda: presenters.STOPPED, None, page.ask.status, cancels=running, js=ENDED, **CHEAP)
    # Another picture: whatever still runs for the one before must not be shown beside it. The cancelling is a listener
    # of its own and the first: behind `forget` it would wait for the server, and cancel a Segment pressed meanwhile.
    page.shared.image.input(None, None, None, cancels=running, js=ENDED, **PRIVATE)
    # In line, not CHEAP: late, it would take away the result of a Segment that was pressed after it.
    page.shared.image.input(handlers.forget, page.shared.image, trigger_mode="always_last", **common)
