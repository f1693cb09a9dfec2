"""Values of an opened page, its examples, and the news of its model while a timer runs."""

from __future__ import annotations

from typing import Any

import gradio as gr

from demo.drawing import thumbnail
from demo.examples import FIRST, example_at, read_examples
from demo.handling import errors_as_messages
from demo.service import Service
from demo.service.tour import tour_example
from demo.tabs import clusters
from demo.tabs.ask import MOST_WORDS, settings_of
from demo.tabs.model import HeadView, head_view


class PageHandlers:
    """Handlers of the events of the whole page, one method per event; stores no data of visitors."""

    def __init__(self, service: Service) -> None:
        """Serve pages from one service."""
        self._service = service

    @errors_as_messages
    def greet(self, request: gr.Request) -> dict[str, Any]:
        """Return values by component for an opened page: banner, examples, request of its address or first example."""
        self._service.start()
        found, head = read_examples(), head_view(self._service.status())
        query = dict(request.query_params) if request else {}
        named = {example.name: example for example in found}
        example = named.get(query.get("example", ""), named.get(FIRST, found[0] if found else None))
        if "own" in query:  # words for the user's own picture, which the browser restores: they suit no example
            example = None
        words = query.get("words", "")[:MOST_WORDS] or (example.words if example else "")
        return {
            "banner": head.banner,
            "offer": head.offer,
            "examples": [{"title": e.title, "alt": e.alt, "thumbnail": thumbnail(e.path)} for e in found],
            "opening": str(example.path) if example else None,
            "opening_words": words,
            "opening_example": example.name if example else "",
            "everything_else_chosen": "yes" if "everything_else" in query else "",
            "session": request.session_hash if request else "",
            **_within_sliders(settings_of(query)),
        }

    @errors_as_messages
    def tick(self, model: str | None) -> tuple[Any, ...]:
        """Show the default model at each tick unless the visitor chose one; the timer stops when nothing is loading."""
        status = self._service.status()
        chosen = HeadView(gr.skip(), gr.Button(visible=False), gr.skip())  # visitors who chose a model get no offer
        head = chosen if model else head_view(status)
        return *head, gr.Timer(active=status.busy)

    @errors_as_messages
    def pick_example(self, event: gr.SelectData) -> tuple[str, str, str]:
        """Return the picture, the words and the name of the clicked example."""
        example = example_at(event.index)
        return str(example.path), example.words, example.name

    @errors_as_messages
    def take_over(self) -> tuple[str, str, str]:
        """Return the picture, the words and the name of the tour's example, for use on the page."""
        example = tour_example()
        return str(example.path), example.words, example.name


def _within_sliders(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings without eps and min_samples if they are automatic, or out of the range of their sliders."""
    found = dict(settings)
    for name, (low, high) in (("eps", clusters.EPS), ("min_samples", clusters.MIN_SAMPLES)):
        if found.get("automatic", True) or not low <= found.get(name, low) <= high:
            found.pop(name, None)
    return found
