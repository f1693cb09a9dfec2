"""Protection that Gradio lacks: against files that nobody uploaded, links, calls of private listeners, old files.

Gradio checks the path of a picture only if the request declares it a file; without this declaration, any file of the
server would be read. It also downloads links for any client. And a private listener is not listed, but can be called
by its name. Tests in `tests/demo/test_safety.py` check each of these against the real server.
"""

from __future__ import annotations

import logging
import re
from asyncio import CancelledError
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_function_params, get_upload_folder
from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cliptrase_core.cancel import cancellable
from demo import core
from demo.cancelling import Tokens, limit_of
from demo.errors import NO_ROOM
from demo.visitors import Sessions, asked_at, files_in, uploads_in

_log = logging.getLogger(__name__)

HEADERS = {"x-content-type-options": "nosniff", "referrer-policy": "strict-origin-when-cross-origin"}


class SafeHeaders:
    """ASGI middleware that adds `HEADERS` to every response."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on; add the headers to each response."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, with_headers)


NO_UPLOAD = "The picture: expected an uploaded file, got something else. Upload the file first, then send its path."
SEE = "GET /gradio_api/info lists them."
_CALL = re.compile(r"/gradio_api/(?:call(?:/v2)?|run|api)/([^/]+)")


class GuardedBlocks(gr.Blocks):
    """Blocks whose listeners get pictures as paths of uploads, refuse other files, and stop work that is cancelled."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Accept the arguments of `gr.Blocks`."""
        super().__init__(*args, **kwargs)
        self.tokens = Tokens()

    async def process_api(
        self,
        block_fn: Any,
        inputs: list[Any],
        state: Any = None,
        request: Any = None,
        iterator: Any = None,
        session_hash: str | None = None,
        event_id: str | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Run an event; note the session of all files in its inputs and outputs."""
        self._note(session_hash, request, uploads_in(inputs, _folder()))
        going_on = False
        try:
            answer: dict[str, Any] = await super().process_api(
                block_fn, inputs, state, request, iterator, session_hash, event_id, *args, **kwargs
            )
            self._note(session_hash, request, files_in(answer["data"], _folder()))
            going_on = bool(answer.get("is_generating"))
            return answer
        except OSError as error:  # Gradio stores the pictures of an answer
            if not core.errors.out_of_space(error):
                raise
            _log.error("%s", NO_ROOM)
            raise gr.Error(NO_ROOM, print_exception=False) from None
        finally:
            # A call by name is a session of its own, called like its event. Nobody comes back to it.
            if event_id is not None and event_id == session_hash and not going_on and self._sessions:
                self._sessions.end(event_id)

    @property
    def _sessions(self) -> Sessions | None:
        """Sessions of the server; None before it has started."""
        holder = getattr(self, "state_holder", None)
        return holder if isinstance(holder, Sessions) else None

    def _note(self, session: str | None, request: Any, files: Iterable[str]) -> None:
        if session is not None and self._sessions:
            client = getattr(request, "client", None)
            self._sessions.note(session, client.host if client else "", files)

    async def call_function(
        self,
        block_fn: Any,
        processed_input: list[Any],
        iterator: Any = None,
        requests: Any = None,
        event_id: str | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """Run a listener, or its next step, under the token of its event."""
        session = getattr(requests, "session_hash", None)
        token = self.tokens.token(event_id, session, asked_at(requests), limit_of(block_fn.fn))
        going_on = False
        try:
            with cancellable(token):
                answer = await super().call_function(
                    block_fn, processed_input, iterator, requests, event_id, *args, **kwargs
                )
            going_on = bool(answer["is_generating"])
            return answer
        except CancelledError:  # Stop, or end of the server: a thread may still be working
            token.cancel()
            raise
        finally:
            if not going_on:
                self.tokens.done(event_id)

    async def preprocess_data(
        self, block_fn: Any, inputs: list[Any], state: Any, explicit_call: bool = False
    ) -> list[Any]:
        """Pass uploads on unopened (Gradio would open them, and fail with a message of its own); refuse other files.

        A public endpoint that is called by position gets the defaults of what is left out; Gradio does that for names.
        """
        if block_fn.api_visibility == "public":
            inputs = [*inputs, *_left_out(block_fn.fn, len(inputs))]
        read = {i: _reader_of(block) for i, block in enumerate(block_fn.inputs)}
        paths: dict[int, Any] = {i: reader(inputs[i]) for i, reader in read.items() if reader and i < len(inputs)}
        others = [None if i in paths else value for i, value in enumerate(inputs)]
        if _holds_file(others):
            raise gr.Error(NO_UPLOAD, print_exception=False)
        ready: list[Any] = await super().preprocess_data(block_fn, others, state, explicit_call)
        return [paths.get(i, value) for i, value in enumerate(ready)]

    async def postprocess_data(self, block_fn: Any, predictions: Any, state: Any) -> Any:
        """Make a session's copies of components share the file list of `delete_cache`: else their files would stay."""
        for block in block_fn.outputs:
            if state is not None and not block.stateful and block._id in state:
                state[block._id].temp_files = block.temp_files
        return await super().postprocess_data(block_fn, predictions, state)


class OnlyPublicCalls:
    """ASGI middleware that limits calls by name to public endpoints."""

    def __init__(self, app: Any) -> None:
        """Wrap an app."""
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer 404 to calls of anything else, and 422 to calls with other arguments, which Gradio does not expect."""
        found = _CALL.search(scope["path"]) if scope["type"] == "http" else None
        if found is None:
            await self._app(scope, receive, send)
            return
        # The page itself runs listeners without a queue through "predict", by number.
        known = _public_names(scope["app"].get_blocks()) | (set() if "/call/" in scope["path"] else {"predict"})
        if found[1] not in known:
            await PlainTextResponse(f"There is no such endpoint. {SEE}", 404)(scope, receive, send)
            return
        started = False

        async def sending(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except (TypeError, ValueError):  # by name or by position, the call lacks arguments, or has others
            if started:
                raise
            text = f"/{found[1]}: expected its arguments, got others, or not all that are needed. {SEE}"
            await PlainTextResponse(text, 422)(scope, receive, send)


def uploaded(payload: Any) -> str | None:
    """Return the path of an uploaded picture.

    Args:
        payload: value that the browser or a client sent for an image; None if there is none.

    Raises:
        gr.Error: the value is a link, a file elsewhere, or no file.
    """
    if payload is None:
        return None
    path = payload.get("path") if isinstance(payload, dict) else None
    try:
        inside = isinstance(path, str) and Path(path).resolve().is_relative_to(Path(get_upload_folder()).resolve())
    except (OSError, ValueError):  # too long, or with characters that no path can have
        inside = False
    if not inside:
        raise gr.Error(NO_UPLOAD, print_exception=False)
    return path


def uploads(payload: Any) -> list[str]:
    """Return the paths of one upload or of several; raises the errors of `uploaded`."""
    found = map(uploaded, payload if isinstance(payload, list) else [payload])
    return [path for path in found if path is not None]


def _folder() -> str:
    return str(Path(get_upload_folder()))


def _reader_of(block: Any) -> Callable[[Any], Any] | None:
    """Return the function that reads the uploads of a component; None if the component takes no files."""
    if isinstance(block, (gr.File, gr.UploadButton)) and block.file_count != "single":
        return uploads
    return uploaded if isinstance(block, (gr.Image, gr.File, gr.UploadButton)) else None


def _left_out(endpoint: Callable[..., Any], given: int) -> list[Any]:
    """Return the defaults of an endpoint's arguments behind the first `given`.

    Raises:
        gr.Error: one of them has no default.
    """
    arguments = get_function_params(endpoint)
    needed = [name for name, has_default, *_ in arguments if not has_default]
    if given < len(needed):
        expected, got = f"at least {', '.join(needed)}", core.errors.counted(given, "value")
        raise gr.Error(f"data: expected {expected}, got {got}. Give the others.", print_exception=False)
    return [default for _, _, default, _ in arguments[given:]]


def _holds_file(value: Any) -> bool:
    """Return whether a value contains, at any depth, anything that Gradio treats as a file."""
    if isinstance(value, dict):
        return isinstance(value.get("path"), str) or any(map(_holds_file, value.values()))
    return isinstance(value, (list, tuple)) and any(map(_holds_file, value))


def _public_names(blocks: gr.Blocks) -> set[str]:
    return {str(fn.api_name) for fn in blocks.fns.values() if fn.api_visibility == "public"}
