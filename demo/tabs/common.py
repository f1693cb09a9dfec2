"""Components and settings of events that all tabs share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from demo import html

ONE_AT_A_TIME: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "model"}
"""Events that use a model share one queue and run one at a time: two together would each take twice as long."""
PRIVATE: dict[str, Any] = {"api_visibility": "private"}
UNSEEN: dict[str, Any] = {"show_progress": "hidden", "show_progress_on": []}
"""Options of events without Gradio's progress display. `show_progress_on` is empty, because at every step of any event
Gradio copies the content of each component in that list, even a hidden one, and with it the pictures of a result."""
CHEAP: dict[str, Any] = {"queue": False, **UNSEEN, **PRIVATE}
QUIET: dict[str, Any] = {**UNSEEN, **ONE_AT_A_TIME, **PRIVATE}
"""Options of events that use a model, without Gradio's progress display."""

LAST: dict[str, Any] = {"trigger_mode": "always_last"}
"""Option of events in quick succession: while one runs, the last of the others waits, so that none is lost. For events
without data only: Gradio repeats a waiting event with the data of the first one. It repeats it for all listeners of the
event: two with this option would wake each other for ever. It is Gradio's default for `change`."""

EACH: dict[str, Any] = {"trigger_mode": "multiple"}
"""Option of events in quick succession that carry data or have several listeners: each of them runs, with its data."""


@dataclass(frozen=True)
class Shared:
    """Components that every tab may read: the picture, and the displayed result.

    Attributes:
        image: user's picture, as a path.
        run: State of `demo.service.Run`, or None.
        token: text that changes with the run; the browser sends its current value with each event, so that a click on
            an older picture is detected.
        active: id of the open tab.
    """

    image: gr.Image
    run: gr.State
    token: gr.Textbox
    active: gr.Textbox


def wire_end(triggers: list[Any], running: list[Any], handler: Any, inputs: Any, outputs: Any) -> None:
    """Wire triggers that cancel running events and then call a handler, so that no late step overwrites its output."""
    ended = gr.on(triggers, None, None, None, cancels=running, **PRIVATE)
    ended.then(handler, inputs, outputs, **CHEAP)


def outputs(components: Any, view: type[Any]) -> list[Any]:
    """Return the components of the fields of a view (a NamedTuple), in the order of the view."""
    return [getattr(components, name) for name in view._fields]


RUNNING = "yes"
"""Value of a hidden text field while an event runs, else "". It is sent together with the progress that the browser
shows, so the handler of Stop learns from it whether the browser still shows progress; a State could be ahead of it."""


SMALL: dict[str, Any] = {"elem_classes": "small-map"}
"""Option of pictures that stand in two columns on a phone: their buttons are below them there."""


def shown(label: str, name: str, encoding: str = "jpeg", **options: Any) -> gr.Image:
    """Draw a picture under a caption: Gradio's own label would cover patches of the picture."""
    caption(label)
    options.setdefault("buttons", ["download", "fullscreen"])
    return gr.Image(
        label=label, show_label=False, alt_text=label, elem_id=name, format=encoding, interactive=False, **options
    )


def caption(label: str) -> None:
    """Draw a caption line."""
    gr.HTML(html.caption(label), padding=False)


def fetch_file(name: str) -> str:
    """Return JavaScript that clicks a hidden download button, so that the browser downloads its file."""
    return f"() => setTimeout(() => document.querySelector('#{name}').click(), 300)"


def hidden_text(name: str, value: str = "") -> gr.Textbox:
    """Draw a hidden text field; its value is sent with events."""
    return gr.Textbox(value, visible="hidden", container=False, elem_id=name)
