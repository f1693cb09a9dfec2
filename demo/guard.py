"""What Gradio leaves open and this page closes: files that nobody uploaded, links, private listeners, old files.

Gradio checks the path of a picture only where the request says that it is a file; without that word, any file of
the server would be read. It also fetches links for whoever asks. And a private listener is not listed, but answers
to its name. Tests in `tests/demo/test_safety.py` hold each of these against the real server.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {"x-content-type-options": "nosniff", "referrer-policy": "strict-origin-when-cross-origin"}


class SafeHeaders:
    """Adds `HEADERS` to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        """Stand before an application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on; answers get the headers on their way out."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, with_headers)


NO_UPLOAD = "The picture: expected an uploaded file, got something else. Upload the file first, then send its path."
TAKERS = (gr.Image, gr.File, gr.UploadButton)
"""Components that a person gives pictures to."""
_CALL = re.compile(r"/gradio_api/(?:call(?:/v2)?|run|api)/([^/]+)")


class GuardedBlocks(gr.Blocks):
    """Blocks whose listeners get a picture as the path of an upload, and no other file in any way."""

    async def preprocess_data(
        self, block_fn: Any, inputs: list[Any], state: Any, explicit_call: bool = False
    ) -> list[Any]:
        """Hand uploads on untouched (Gradio would open them, and fail with a message of its own); refuse the rest."""
        takers = [isinstance(block, TAKERS) for block in block_fn.inputs]
        paths: dict[int, Any] = {
            i: uploads(value) for i, (value, yes) in enumerate(zip(inputs, takers, strict=False)) if yes
        }
        others = [None if i in paths else value for i, value in enumerate(inputs)]
        if _holds_file(others):
            raise gr.Error(NO_UPLOAD, print_exception=False)
        ready: list[Any] = await super().preprocess_data(block_fn, others, state, explicit_call)
        return [paths.get(i, value) for i, value in enumerate(ready)]

    async def postprocess_data(self, block_fn: Any, predictions: Any, state: Any) -> Any:
        """Let a session's copies of components note their files where `delete_cache` looks: theirs would stay."""
        for block in block_fn.outputs:
            if state is not None and not block.stateful and block._id in state:
                state[block._id].temp_files = block.temp_files
        return await super().postprocess_data(block_fn, predictions, state)


class OnlyPublicCalls:
    """ASGI middleware: calls by name reach public endpoints only."""

    def __init__(self, app: Any) -> None:
        """Stand before an app."""
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer 404 to a call of anything else."""
        found = _CALL.search(scope["path"]) if scope["type"] == "http" else None
        # "predict" is how the page itself calls listeners that do not queue, by number.
        if found and found[1] not in {"predict", *_public_names(scope["app"].get_blocks())}:
            await send({"type": "http.response.start", "status": 404, "headers": [(b"content-type", b"text/plain")]})
            await send({"type": "http.response.body", "body": b"There is no such endpoint. GET /gradio_api/info."})
            return
        await self._app(scope, receive, send)


def uploaded(payload: Any) -> str | None:
    """The path of an uploaded picture.

    Args:
        payload: what the browser or a client sent for an image; None where there is none.

    Raises:
        gr.Error: it names a link, a file elsewhere, or no file.
    """
    if payload is None:
        return None
    path = payload.get("path") if isinstance(payload, dict) else None
    try:
        inside = isinstance(path, str) and Path(path).resolve().is_relative_to(Path(get_upload_folder()).resolve())
    except (OSError, ValueError):  # too long, or holds what no path can
        inside = False
    if not inside:
        raise gr.Error(NO_UPLOAD, print_exception=False)
    return path


def uploads(payload: Any) -> str | list[str] | None:
    """The path of an upload, or of each where there are several; errors as `uploaded`."""
    if not isinstance(payload, list):
        return uploaded(payload)
    found = [uploaded(one) for one in payload]
    return [path for path in found if path is not None]


def _holds_file(value: Any) -> bool:
    """Whether there is, at any depth, what Gradio takes for a file."""
    if isinstance(value, dict):
        return isinstance(value.get("path"), str) or any(map(_holds_file, value.values()))
    return isinstance(value, (list, tuple)) and any(map(_holds_file, value))


def _public_names(blocks: gr.Blocks) -> set[str]:
    return {str(fn.api_name) for fn in blocks.fns.values() if fn.api_visibility == "public"}
