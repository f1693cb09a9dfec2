"""What happens when the page opens, waits, or an example or a link is followed."""

from __future__ import annotations

from typing import Any, NamedTuple

import gradio as gr

from demo.errors import UserError
from demo.examples import Example, read_examples
from demo.figures.shown import thumbnail
from demo.handlers.address import MOST_WORDS, PLAIN, settings_of
from demo.handlers.common import plainly
from demo.handlers.model import HeadView, head_view
from demo.service import Service
from demo.service.tour import tour_example

FIRST = "shepherd"
"""The example that a page opens with."""


class GreetView(NamedTuple):
    """New values of components when the page opens, by the components' names."""

    banner: Any
    offer: Any
    examples: Any
    opening: Any
    opening_words: Any
    opening_example: Any
    background: Any
    background_words: Any
    threshold: Any
    method: Any
    preset: Any
    short_side: Any
    templates: Any
    image_prior: Any
    everything_else: Any
    skip_missing: Any
    everything_else_chosen: Any
    denoise: Any
    automatic: Any


class PageHandlers:
    """One method for each event of the page as a whole; keeps nothing of any visitor."""

    def __init__(self, service: Service) -> None:
        """Serve pages from one service."""
        self._service = service

    @plainly
    def greet(self, request: gr.Request) -> GreetView:
        """Page opened: the banner, the examples, and what the address asks for, else the first example's result."""
        self._service.start()
        found, head = read_examples(), head_view(self._service.status())
        asked = dict(request.query_params) if request else {}
        named = {example.name: example for example in found}
        example = named.get(asked.get("example", ""), named.get(FIRST, found[0] if found else None))
        words = asked.get("words", "")[:MOST_WORDS] or (example.words if example else "")
        return GreetView(
            banner=head.banner,
            offer=head.offer,
            examples=[{"title": e.title, "alt": e.alt, "thumbnail": thumbnail(e.path)} for e in found],
            opening=str(example.path) if example else None,
            opening_words=words,
            opening_example=example.name if example else "",
            everything_else_chosen="yes" if "everything_else" in asked else "",
            **{**dict.fromkeys(PLAIN, gr.skip()), **settings_of(asked)},
        )

    @plainly
    def tick(self, model: str | None) -> tuple[Any, ...]:
        """Timer: what runs, unless this visitor chose a model; it stops when nothing is left to wait for."""
        status = self._service.status()
        chosen = HeadView(gr.skip(), gr.Button(visible=False), gr.skip())  # who chose is offered nothing
        head = chosen if model else head_view(status)
        return *head, gr.Timer(active=status.busy)

    @plainly
    def pick_example(self, event: gr.SelectData) -> tuple[str, str, str]:
        """Example clicked: its picture, its words and its name."""
        example = _example_at(event.index)
        return str(example.path), example.words, example.name

    @plainly
    def take_over(self) -> tuple[str, str, str]:
        """The tour's picture and words become the page's own."""
        example = tour_example()
        return str(example.path), example.words, example.name


def _example_at(index: Any) -> Example:
    found = read_examples()
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(found):
        raise UserError("There is no such example. Reload the page.")
    return found[index]
