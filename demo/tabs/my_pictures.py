"""A visitor's own pictures: notice about storage and lifetime, and a button to delete them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
from gradio.utils import get_upload_folder

from demo import core
from demo.handling import errors_as_messages
from demo.html import hint
from demo.service import Service
from demo.settings import DELETE_CACHE
from demo.tabs.common import CHEAP, PRIVATE, hidden_text

WHERE = (
    f"Your pictures are stored on the computer that runs this page. They are deleted after {DELETE_CACHE[1] // 3600} "
    "hours and sent nowhere else."
)
MOST_EARLIER = 100
"""Maximum number of earlier sessions of a tab."""
NOTHING = "None of your pictures is stored here."


def deleted(files: int, shared: int, made: int) -> str:
    """Return the message after deletion; plain text.

    Args:
        files: number of deleted files.
        shared: number of files not deleted, because another visitor uses them too.
        made: number of encoded pictures, results and maps removed from the caches.
    """
    if not files + shared + made:
        return NOTHING
    deleted, computed = core.errors.counted(files, "file"), core.errors.counted(made, "thing")
    went = f"Deleted: {deleted}, and {computed} that this page had computed from them."
    stayed = f"{core.errors.counted(shared, 'file')} stayed: another tab has the same, such as an example."
    return " ".join([*([went] if files + made else []), *([stayed] if shared else [])])


class DeletedView(NamedTuple):
    """New values after a visitor's pictures are deleted, by component name."""

    mine: Any
    image: Any
    opening: Any


class MyPicturesHandlers:
    """Event handlers, one method for each event; no visitor's data is stored."""

    def __init__(self, service: Service, no_result: tuple[Any, ...]) -> None:
        """Use one service for all pages.

        Args:
            service: service with the caches to clear.
            no_result: values of the result's components when there is no result.
        """
        self._service, self._no_result = service, no_result

    @errors_as_messages
    def delete(self, earlier: str | None, request: gr.Request) -> tuple[Any, ...]:
        """Handle "Delete my pictures": delete this tab's files and cached results, and clear the shown result.

        Args:
            earlier: sessions of this tab before it was loaded again, separated by spaces.
            request: the request, which knows the session.
        """
        connection: Any = request.request
        sessions = str(earlier or "").split()[:MOST_EARLIER]
        files, shared = connection.scope["app"].state_holder.give_back(request.session_hash, sessions)
        home = Path(get_upload_folder()).resolve()
        mine = [path for path in map(Path, files) if path.is_file() and path.resolve().is_relative_to(home)]
        made = self._service.forget(map(str, mine))
        for path in mine:
            path.unlink(missing_ok=True)
            if path.parent != home and not any(path.parent.iterdir()):
                path.parent.rmdir()
        message = hint(deleted(len(mine), shared, made))
        return *DeletedView(message, None, None), *self._no_result


@dataclass(frozen=True)
class MyPictures:
    """Components: the notice, its button, and the page's own session, which the browser notes before it reloads."""

    mine: gr.HTML
    delete: gr.Button
    session: gr.Textbox


def draw() -> MyPictures:
    """Create both components in the current Gradio layout context."""
    with gr.Row(elem_id="mine-row"):
        mine = gr.HTML(hint(WHERE), elem_id="mine", padding=False)
        delete = gr.Button("Delete my pictures", size="sm", elem_id="delete-mine", scale=0, min_width=160)
    return MyPictures(mine, delete, hidden_text("session"))


def wire(mine: MyPictures, gone: list[Any], running: list[Any], handlers: MyPicturesHandlers) -> None:
    """Connect the button.

    Args:
        mine: components from `draw`.
        gone: components to clear: the visitor's picture, the page's opening picture, and the result's components.
        running: events that use the picture; they are cancelled first.
        handlers: handlers of these events.
    """
    mine.delete.click(None, None, None, js="() => lab.dropFixes()", **PRIVATE)
    outputs, js = [mine.mine, *gone], "() => [lab.earlier()]"
    mine.delete.click(handlers.delete, mine.session, outputs, cancels=running, js=js, **CHEAP)
