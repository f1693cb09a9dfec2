"""What happens when the page opens, waits, or an example or a link is followed."""

from __future__ import annotations

from typing import Any, NamedTuple

import gradio as gr

from demo.errors import UserError
from demo.examples import Example, read_examples
from demo.handlers.common import plainly
from demo.handlers.model import HeadView, head_view
from demo.service import Service
from demo.service.tour import tour_example

MAX_LINKED_WORDS = 4_000
"""Characters of words that a link may carry."""


class GreetView(NamedTuple):
    """New values of components when the page opens, by the components' names."""

    banner: Any
    offer: Any
    examples: Any
    image: Any
    words: Any
    example: Any
    linked: Any


class PageHandlers:
    """One method for each event of the page as a whole; keeps nothing of any visitor."""

    def __init__(self, service: Service) -> None:
        """Serve pages from one service."""
        self._service = service

    @plainly
    def greet(self, request: gr.Request) -> GreetView:
        """Page opened: the banner, the examples, and what the link asks for; loading starts here if nothing did."""
        self._service.start()
        found, head = read_examples(), head_view(self._service.status())
        gallery = gr.Gallery([(str(example.path), example.title) for example in found], visible=bool(found))
        asked = dict(request.query_params) if request else {}
        example = next((e for e in found if e.name == asked.get("example")), None)
        words = asked.get("words", example.words if example else "")[:MAX_LINKED_WORDS]
        return GreetView(
            banner=head.banner,
            offer=head.offer,
            examples=gallery,
            image=str(example.path) if example else gr.skip(),
            words=words or gr.skip(),
            example=example.name if example else "",
            linked=example.name if example and words else "",
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
    def take_over(self) -> tuple[Any, ...]:
        """The tour's picture and words go to the left column, and the result is what is looked at."""
        example = tour_example()
        return str(example.path), example.words, example.name, gr.Tabs(selected="result"), "result"


def _example_at(index: Any) -> Example:
    found = read_examples()
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(found):
        raise UserError("There is no such example. Reload the page.")
    return found[index]
