"""Components and settings of events that all tabs share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from demo import html

ONE_AT_A_TIME: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "model"}
"""Events that use a model share one place in the queue: two at once would each take twice as long."""
PRIVATE: dict[str, Any] = {"api_visibility": "private"}
UNSEEN: dict[str, Any] = {"show_progress": "hidden", "show_progress_on": []}
"""Of events whose work Gradio does not show. They name no place for it: at every step of any event, Gradio copies what
lies in each such place, were it hidden, and with it the pictures of a result."""
CHEAP: dict[str, Any] = {"queue": False, **UNSEEN, **PRIVATE}
QUIET: dict[str, Any] = {**UNSEEN, **ONE_AT_A_TIME, **PRIVATE}
"""Of events that use a model."""


@dataclass(frozen=True)
class Shared:
    """What every tab may read: the picture, and the result that is shown.

    Attributes:
        image: the person's picture, a path.
        run: State of `demo.service.Run`, or None.
        token: text that changes with the run; travels with each event as the browser saw it, so that a click on an
            older picture can be told.
        active: id of the tab that is open.
    """

    image: gr.Image
    run: gr.State
    token: gr.Textbox
    active: gr.Textbox


def wire_end(triggers: list[Any], running: list[Any], handler: Any, inputs: Any, outputs: Any) -> None:
    """Wire what ends other events and says so, in this order: a step that came between would stay on the page."""
    ended = gr.on(triggers, None, None, None, cancels=running, **PRIVATE)
    ended.then(handler, inputs, outputs, **CHEAP)


def outputs(components: Any, view: type[Any]) -> list[Any]:
    """The components that a view (a NamedTuple) has new values for, in its order."""
    return [getattr(components, name) for name in view._fields]


def shown(label: str, name: str, encoding: str = "jpeg", **options: Any) -> gr.Image:
    """A picture under its caption: Gradio's own label would lie on the picture and cover patches."""
    caption(label)
    options.setdefault("buttons", ["download", "fullscreen"])
    return gr.Image(
        label=label, show_label=False, alt_text=label, elem_id=name, format=encoding, interactive=False, **options
    )


def caption(label: str) -> None:
    """A line above something."""
    gr.HTML(html.caption(label), padding=False)


def fetch_file(name: str) -> str:
    """JavaScript that has the browser fetch what a hidden download button holds, as if it had been pressed."""
    return f"() => setTimeout(() => document.querySelector('#{name}').click(), 300)"


def hidden_text(name: str, value: str = "") -> gr.Textbox:
    """A value that travels with events and is not seen."""
    return gr.Textbox(value, visible="hidden", container=False, elem_id=name)
