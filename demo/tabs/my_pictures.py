"""A visitor's own pictures: where they lie, how long, and how they go at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
from gradio.utils import get_upload_folder

from demo.handling import plainly
from demo.html import hint
from demo.service import Service
from demo.settings import DELETE_CACHE
from demo.tabs.common import CHEAP

WHERE = (
    f"Your pictures lie on the computer that runs this page and are deleted after {DELETE_CACHE[1] // 3600} hours. "
    "They are sent nowhere else."
)
NOTHING = "There is nothing of yours here."


def deleted(files: int, shared: int, made: int) -> str:
    """What deleting did; plain text.

    Args:
        files: that were deleted.
        shared: that stay, because another visitor has the same.
        made: encoded pictures, results and maps that were forgotten.
    """
    if not files + shared + made:
        return NOTHING
    went = f"Deleted: {_several(files, 'file')}, and {_several(made, 'thing')} that this page had computed from them."
    stayed = f"{_several(shared, 'file')} stayed: another tab has the same, such as an example."
    return " ".join([*([went] if files + made else []), *([stayed] if shared else [])])


def _several(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


class DeletedView(NamedTuple):
    """New values once a visitor's pictures have gone, by the components' names."""

    mine: Any
    image: Any
    opening: Any


class MyPicturesHandlers:
    """One method for each event; keeps nothing of any visitor."""

    def __init__(self, service: Service, no_result: tuple[Any, ...]) -> None:
        """Serve pages from one service.

        Args:
            service: whose stores forget.
            no_result: new values of what shows a result, once there is none.
        """
        self._service, self._no_result = service, no_result

    @plainly
    def delete(self, request: gr.Request) -> tuple[Any, ...]:
        """Delete my pictures pressed: files of this session, what was computed from them, and what is shown."""
        files, shared = request.request.scope["app"].state_holder.give_back(request.session_hash)
        home = Path(get_upload_folder()).resolve()
        mine = [path for path in map(Path, files) if path.is_file() and path.resolve().is_relative_to(home)]
        made = self._service.forget(map(str, mine))
        for path in mine:
            path.unlink(missing_ok=True)
            if path.parent != home and not any(path.parent.iterdir()):
                path.parent.rmdir()
        said = hint(deleted(len(mine), shared, made))
        return *DeletedView(said, None, None), *self._no_result


@dataclass(frozen=True)
class MyPictures:
    """The line and its button."""

    mine: gr.HTML
    delete: gr.Button


def draw() -> MyPictures:
    """Draw both where the caller stands."""
    with gr.Row(elem_id="mine-row"):
        mine = gr.HTML(hint(WHERE), elem_id="mine", padding=False)
        delete = gr.Button("Delete my pictures", size="sm", elem_id="delete-mine", scale=0, min_width=160)
    return MyPictures(mine, delete)


def wire(mine: MyPictures, gone: list[Any], running: list[Any], handlers: MyPicturesHandlers) -> None:
    """Wire the button.

    Args:
        mine: of `draw`.
        gone: what is empty afterwards: the visitor's picture, the one that the page opened with, the result's parts.
        running: events that work on the picture: they end first.
        handlers: of these events.
    """
    mine.delete.click(handlers.delete, None, [mine.mine, *gone], cancels=running, **CHEAP)
