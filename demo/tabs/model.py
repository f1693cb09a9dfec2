"""The model: banner of the current model, button for a better one, choice of another, view of the model input."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import gradio as gr

from cliptrase_core.names import NANO
from demo import core
from demo.cancelling import without_time_limit
from demo.drawing import model_pixels
from demo.errors import UserError
from demo.handling import errors_as_messages, followed, one_of, same, side_of
from demo.html import hint, percent, sheet, strip, working
from demo.model_facts import ModelFacts, Offered, offered
from demo.models import Status
from demo.service import Service
from demo.service.model_input import ModelInput, model_input
from demo.settings import OFFERED, PRESETS
from demo.tabs.common import LAST, PRIVATE, UNSEEN, Shared, outputs, shown, wire_end

NANO_LIMITS = "Small, for photographs of everyday things; a real CLIP reads them better."
OWN_CHOICE = "Your choice, on this page only."
EMBEDDED_LIMITS = (
    "nano is part of this program, so that it works with no network and every test shows the real computation. "
    "It is small (15 MB) and reads photographs of everyday things, with English words. ViT-B-16:openai is better."
)
STOPPED = strip("note", "Stopped.", "Nothing was changed.")
NOTHING_RUNS = hint("The model is being loaded; its details then appear here.")
NO_INPUT = hint("Choose a picture to see the exact model input.")


def banner(status: Status, chosen: ModelFacts | None = None) -> str:
    """Return HTML: model, device and precision, and the reason if it is not the requested model.

    Args:
        status: state of the default model.
        chosen: model that this visitor chose; None for the default model.
    """
    if chosen is not None:
        return strip("calm", _runs(chosen.name, chosen.pretrained, chosen.device, chosen.precision), OWN_CHOICE)
    if status.failed:
        return strip("bad", "No model", status.notice or "")
    if not status.ready:
        return strip("busy", "Loading the model", "The page is ready; the first answer may take some seconds.")
    facts = _runs(status.name, status.pretrained, status.device, status.precision)
    if status.notice:
        return strip("note", facts, status.notice)
    return strip("calm", facts, NANO_LIMITS if status.name == NANO else "")


def offer_label(key: str) -> str:
    """Return the plain text of the button that loads a better model."""
    megabytes = {known: size for known, size, _ in OFFERED}.get(key)
    return f"Load {key}" + (f" ({megabytes / 1000:.1f} GB)" if megabytes else "")


def model_sheet(facts: ModelFacts) -> str:
    """Return HTML: all facts about a model, and the limits of the embedded model."""
    tall, wide = facts.patch
    threads = core.errors.counted(facts.threads, "processor thread")
    rows = [
        ("Model", facts.name),
        ("Weights", f"{facts.pretrained} (from: {facts.source})" if facts.source != facts.pretrained else facts.source),
        ("Size", f"{facts.parameters / 1e6:.1f} million parameters, {facts.nbytes / 1e6:.0f} MB in memory"),
        ("Image tower", f"{facts.layers} blocks of {facts.heads} heads, patches of {tall} x {wide} pixels"),
        ("Native size", f"{facts.short_side} pixels along the short side"),
        ("Runs on", f"{facts.device}, {facts.precision}, {threads}"),
        ("Digest", f"SHA-256 {facts.digest}…"),
    ]
    return sheet(rows) + (hint(EMBEDDED_LIMITS) if facts.name == NANO else "")


def choices(offered: Sequence[Offered], loaded: Iterable[ModelFacts]) -> list[tuple[str, str]]:
    """Return (label, key) of each model that can be chosen: loaded ones that are not offered, and all offered ones."""
    known = {entry.key for entry in offered}
    found = [(f"{one.key} · {one.nbytes / 1e6:.0f} MB · loaded", one.key) for one in loaded if one.key not in known]
    for entry in offered:
        state = {True: " · downloaded", False: " · not downloaded", None: ""}[entry.downloaded]
        found.append((f"{entry.key} · {entry.megabytes} MB · {entry.remark}{state}", entry.key))
    return found


def loading(key: str, share: float, text: str) -> str:
    """Return HTML: progress of loading a model."""
    return working(f"Loading {key}", share, f"{percent(share, 0)}, {text}", "loading")


def not_loaded(error: Exception) -> str:
    """Return HTML: the reason why a model was not loaded, if the user can do something about it, else nothing."""
    return strip("bad", "Not loaded.", str(error)) if isinstance(error, UserError) else ""


def loaded(facts: ModelFacts) -> str:
    """Return HTML: message that this visitor now uses a model."""
    return strip("calm", f"{facts.key} is in use.", "The result is computed again with it.")


def input_sheet(given: ModelInput) -> str:
    """Return HTML: sizes in every frame, and the area of the picture that a patch covers."""
    frame = given.frame
    tall, wide = given.patch_in_picture
    cropped = frame.resized != frame.model
    crop = (
        f"{_size(frame.model)} from row {frame.crop[0]}, column {frame.crop[1]}" if cropped else "nothing was cut off"
    )
    rows = [
        ("Your picture", f"{_size(frame.original)} pixels"),
        ("Resized to", f"{_size(frame.resized)} pixels"),
        ("Crop", crop),
        ("Grid", f"{_size(frame.grid)} = {frame.grid[0] * frame.grid[1]} patches of {_size(frame.patch)} pixels"),
        ("One patch", f"covers {tall:.1f} x {wide:.1f} pixels of your picture"),
    ]
    return sheet(rows) + hint("Sizes are height x width. The picture shows the model's own pixels, enlarged.")


def _runs(name: str, pretrained: str, device: str, precision: str) -> str:
    weights = "" if pretrained == "embedded" else f", {pretrained} weights"
    return f"{name}{weights} on {device}, {precision}"


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


class FactsView(NamedTuple):
    """New values of the components that describe the model, by component name."""

    facts: Any
    choice: Any


class InputView(NamedTuple):
    """New values of the components that show the model input, by component name."""

    pixels: Any
    sizes: Any


class LoadView(NamedTuple):
    """New values while another model is loaded, by component name."""

    news: Any
    facts: Any
    choice: Any
    banner: Any
    model: Any


class HeadView(NamedTuple):
    """New values of the components that show the current model and offer a better one, by component name."""

    banner: Any
    offer: Any
    stop: Any


class OfferedView(NamedTuple):
    """New values while the offered model is loaded, by component name."""

    banner: Any
    offer: Any
    stop: Any
    model: Any


def head_view(status: Status, facts: ModelFacts | None = None) -> HeadView:
    """Return the banner, and the button that loads a better model if there is one.

    Args:
        status: state of the default model.
        facts: facts about the model that this visitor chose; None for the default model.
    """
    label = offer_label(status.offer) if status.offer else ""
    offered_now = status.offer is not None and facts is None
    return HeadView(banner(status, facts), gr.Button(label, visible=offered_now), gr.Button(visible=False))


class ModelHandlers:
    """Event handlers of the tab, one method for each event; no visitor's data is stored."""

    def __init__(self, service: Service) -> None:
        """Use one service for all pages."""
        self._models = service.models
        self._service = service

    @errors_as_messages
    def refresh(self, model: str | None) -> FactsView:
        """Handle opening of the tab: show the visitor's model and the list of models."""
        facts = self._models.facts(model)
        return FactsView(model_sheet(facts), self._choices(facts.key))

    @without_time_limit
    @errors_as_messages
    def load(self, request: Any, model: str | None) -> Iterator[LoadView]:
        """Handle the choice of another model: yield the loading progress, then the visitor's new model."""
        if not isinstance(request, str) or not request.strip():
            raise UserError("model: expected a name, got nothing. Pick one, or type one such as ViT-B-16:openai.")
        unchanged = same(LoadView)
        try:
            key = yield from followed(
                lambda progress: self._models.load(request, progress),
                lambda share, text: unchanged._replace(news=loading(request.strip(), share, text)),
            )
        except Exception as error:
            yield unchanged._replace(news=not_loaded(error))
            raise
        facts = self._models.facts(key)
        yield LoadView(
            news=loaded(facts),
            facts=model_sheet(facts),
            choice=self._choices(facts.key),
            banner=banner(self._models.status(), facts),
            model=key,
        )

    @without_time_limit
    @errors_as_messages
    def load_offered(self, model: str | None) -> Iterator[OfferedView]:
        """Handle the button in the head: yield the loading progress, then the better model as this visitor's model."""
        key = self._models.status().offer
        if key is None:  # another visitor has loaded it meanwhile
            yield OfferedView(*head_view(self._models.status()), model=gr.skip())
            return
        busy = OfferedView("", gr.Button(visible=False), gr.Button(visible=True), gr.skip())
        try:
            yield busy._replace(banner=loading(key, 0.0, "asking the model hub"))
            loaded = yield from followed(
                lambda progress: self._models.load(key, progress),
                lambda share, text: busy._replace(banner=loading(key, share, text)),
            )
        except Exception as error:
            head = head_view(self._models.status())
            yield OfferedView(*head._replace(banner=not_loaded(error) or head.banner), model=gr.skip())
            raise
        status = self._models.status()
        own = None if loaded == status.key else self._models.facts(loaded)  # None: it is now the default model
        yield OfferedView(*head_view(status, own), model=loaded)

    def _choices(self, key: str) -> Any:
        known = choices(offered(check_disk=True), self._models.loaded())
        return gr.Dropdown(known, value=key, allow_custom_value=True)

    @errors_as_messages
    def head_stopped(self) -> HeadView:
        """Handle Stop in the head."""
        return head_view(self._models.status())._replace(banner=STOPPED)

    @errors_as_messages
    def stopped(self) -> str:
        """Handle Stop."""
        return STOPPED

    @errors_as_messages
    def show_input(self, path: str | None, preset: Any, short_side: Any, model: str | None) -> InputView:
        """Handle opening of the tab, or a new picture or size: show the model input."""
        if not path:
            return InputView(None, NO_INPUT)
        way, side = one_of("preset", preset, PRESETS), side_of(preset, short_side)
        given = model_input(self._service, path, way, side, model)
        return InputView(model_pixels(given.pixels, given.frame.patch), input_sheet(given))


TITLE_HTML = (
    '<a class="skip" href="#words">Skip to the words</a><h1>CLIPtrase Lab</h1>'
    "<p>Cut a picture into parts with nothing but words, and see why. "
    '<a href="#tabs" data-go="#tabs" data-tab="Guided tour">Guided tour</a> · '
    '<a href="https://arxiv.org/abs/2407.08268" target="_blank" rel="noopener">Paper</a></p>'
)


@dataclass(frozen=True)
class Head:
    """Components of the head; `model` is the State of the page's model, which loading changes."""

    banner: gr.HTML
    offer: gr.Button
    stop: gr.Button
    model: gr.State

    @property
    def shown(self) -> list[Any]:
        """Components that show the model, in the order of `HeadView`."""
        return outputs(self, HeadView)


def draw_head(banner: str) -> Head:
    """Create the components in the current Gradio layout context.

    Args:
        banner: HTML of the banner with the current model.
    """
    with gr.Row(elem_id="page-head"):
        gr.HTML(TITLE_HTML, padding=False, elem_id="title")
        message = gr.HTML(banner, padding=False, elem_id="banner")
        offer = gr.Button("", visible=False, variant="primary", size="sm", elem_id="head-load", scale=0, min_width=230)
        stop = gr.Button("Stop", visible=False, size="sm", scale=0, min_width=90)
    return Head(message, offer, stop, gr.State(None))


def wire_head(head: Head, handlers: ModelHandlers) -> None:
    """Connect the events of the head; the page itself connects the new result after a change of the model."""
    loading = head.offer.click(
        handlers.load_offered,
        head.model,
        outputs(head, OfferedView),
        **UNSEEN,
        concurrency_limit=1,
        concurrency_id="load",  # a queue of its own: a long download must not delay results
        **PRIVATE,
    )
    wire_end([head.stop.click], [loading], handlers.head_stopped, None, head.shown)


NAME = "model"


@dataclass(frozen=True)
class Model:
    """Components of the tab; `banner` and `model` belong to the page, but loading changes them."""

    choice: gr.Dropdown
    load: gr.Button
    stop: gr.Button
    news: gr.HTML
    facts: gr.HTML
    pixels: gr.Image
    sizes: gr.HTML
    banner: gr.HTML
    model: gr.State


def draw(banner: gr.HTML, model: gr.State) -> Model:
    """Create the components in the current Gradio layout context."""
    choice = gr.Dropdown(
        choices(offered(check_disk=False), []),
        value=None,
        label="Which model",
        info="Or type any ViT that open_clip knows, as name:tag. Only your own page changes.",
        allow_custom_value=True,
        elem_id="model-choice",
    )
    with gr.Row():
        load = gr.Button("Use this model", variant="secondary", elem_id="model-load", scale=3, min_width=160)
        stop = gr.Button("Stop", scale=1, min_width=70)
    news = gr.HTML("", padding=False, elem_id="model-news")
    facts = gr.HTML(NOTHING_RUNS, padding=False, elem_id="model-facts")
    pixels = shown("The model input, patch by patch", "model-pixels", "png", height=360)
    sizes = gr.HTML(NO_INPUT, padding=False, elem_id="model-sizes")
    return Model(choice, load, stop, news, facts, pixels, sizes, banner, model)


def wire(tab: Model, opened: gr.Tab, shared: Shared, sizes: tuple[Any, Any], handlers: ModelHandlers) -> None:
    """Connect the events of this tab; `sizes` are the controls of preset and short side, which change the model input.

    The page itself connects the new result after a change of the model.
    """
    seen = [shared.image, *sizes, tab.model]
    out: dict[str, Any] = {"outputs": outputs(tab, InputView), "show_progress_on": [tab.pixels], **PRIVATE}

    def when_active(active: str, *fields: Any) -> Any:
        """Handle a change: update the view only if this tab is open."""
        return handlers.show_input(*fields) if active == NAME else same(InputView)

    opened.select(handlers.refresh, tab.model, outputs(tab, FactsView), **UNSEEN, **PRIVATE)
    opened.select(handlers.show_input, seen, **out)
    changed = [component.change for component in seen]
    gr.on(changed, when_active, [shared.active, *seen], **LAST, **out)
    loading = gr.on(
        [tab.load.click],
        handlers.load,
        [tab.choice, tab.model],
        outputs(tab, LoadView),
        **UNSEEN,
        concurrency_limit=1,
        concurrency_id="load",  # a queue of its own: a long download must not delay results
        **PRIVATE,
    )
    wire_end([tab.stop.click], [loading], handlers.stopped, None, tab.news)
