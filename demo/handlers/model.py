"""Choosing a model and seeing what it sees: what each event of the Model tab does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import gradio as gr

from demo.errors import UserError
from demo.figures.grid import model_pixels
from demo.handlers.common import AUTO, followed, one_of, plainly
from demo.models import ModelFacts, Status, offered
from demo.presenters import model as presenters
from demo.service import Service
from demo.service.model_input import what_it_saw
from demo.settings import PRESETS, SHORT_SIDES


class FactsView(NamedTuple):
    """New values of the components that say which model runs, by the components' names."""

    facts: Any
    choice: Any


class SawView(NamedTuple):
    """New values of the components that show the model input, by the components' names."""

    pixels: Any
    sizes: Any


class LoadView(NamedTuple):
    """New values while another model is loaded, by the components' names."""

    news: Any
    facts: Any
    choice: Any
    banner: Any
    model: Any


class HeadView(NamedTuple):
    """New values of the components that say what runs and offer a better model, by the components' names."""

    banner: Any
    offer: Any
    stop: Any


class OfferedView(NamedTuple):
    """New values while the offered model is loaded, by the components' names."""

    banner: Any
    offer: Any
    stop: Any
    model: Any


def head_view(status: Status, facts: ModelFacts | None = None) -> HeadView:
    """What runs, and the button that loads a better model where there is one.

    Args:
        status: what runs for whoever chose nothing.
        facts: of the model that this visitor chose.
    """
    label = presenters.offer_label(status.offer) if status.offer else ""
    offered_now = status.offer is not None and facts is None
    return HeadView(presenters.banner(status, facts), gr.Button(label, visible=offered_now), gr.Button(visible=False))


class ModelHandlers:
    """One method for each event of the tab; keeps nothing of any visitor."""

    def __init__(self, service: Service) -> None:
        """Serve pages from one service."""
        self._holder = service.holder
        self._service = service

    @plainly
    def refresh(self, model: str | None) -> FactsView:
        """The tab was opened: the visitor's model, and what else there is."""
        facts = self._holder.facts(model)
        return FactsView(presenters.model_sheet(facts), _choices(facts.key))

    @plainly
    def load(self, asked: Any, model: str | None) -> Iterator[LoadView]:
        """Another model was asked for: steps of loading it, then the model as this visitor's own."""
        if not isinstance(asked, str) or not asked.strip():
            raise UserError("model: expected a name, got nothing. Pick one, or type one such as ViT-B-16:openai.")
        unchanged = LoadView(*(gr.skip() for _ in LoadView._fields))
        try:
            key = yield from followed(
                lambda tell: self._holder.load(asked, tell),
                lambda share, text: unchanged._replace(news=presenters.loading(asked.strip(), share, text)),
            )
        except Exception:
            yield unchanged._replace(news="")
            raise
        facts = self._holder.facts(key)
        yield LoadView(
            news=presenters.loaded(facts),
            facts=presenters.model_sheet(facts),
            choice=_choices(facts.key),
            banner=presenters.banner(self._holder.status(), facts),
            model=key,
        )

    @plainly
    def load_offered(self, model: str | None) -> Iterator[OfferedView]:
        """The head's button was pressed: steps of loading the better model, which then is this visitor's."""
        key = self._holder.status().offer
        if key is None:  # somebody else's press has loaded it meanwhile
            yield OfferedView(*head_view(self._holder.status()), model=gr.skip())
            return
        busy = OfferedView("", gr.Button(visible=False), gr.Button(visible=True), gr.skip())
        try:
            yield busy._replace(banner=presenters.loading(key, 0.0, "asking the model hub"))
            loaded = yield from followed(
                lambda tell: self._holder.load(key, tell),
                lambda share, text: busy._replace(banner=presenters.loading(key, share, text)),
            )
        except Exception:
            yield OfferedView(*head_view(self._holder.status()), model=gr.skip())
            raise
        status = self._holder.status()
        own = None if loaded == status.key else self._holder.facts(loaded)  # None: it runs for everybody now
        yield OfferedView(*head_view(status, own), model=loaded)

    @plainly
    def head_stopped(self) -> HeadView:
        """Stop was pressed in the head."""
        return head_view(self._holder.status())._replace(banner=presenters.STOPPED)

    @plainly
    def stopped(self) -> str:
        """Stop was pressed."""
        return presenters.STOPPED

    @plainly
    def look(self, path: str | None, preset: Any, short_side: Any, model: str | None) -> SawView:
        """The tab was opened, or another picture or size was chosen."""
        if not path:
            return SawView(None, presenters.NOTHING_SEEN)
        side = one_of("short side", str(short_side), (AUTO, *map(str, SHORT_SIDES)))
        chosen = None if side == AUTO else int(side)
        saw = what_it_saw(self._service, path, one_of("preset", preset, PRESETS), chosen, model)
        return SawView(model_pixels(saw.pixels, saw.frame.patch), presenters.saw_sheet(saw))


def _choices(key: str) -> Any:
    return gr.Dropdown(presenters.choices(offered(look=True)), value=key, allow_custom_value=True)
