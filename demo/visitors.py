"""Visitors on the server: limits on open tabs per address, owners of files, and readers who disconnect.

Gradio stores the state of the newest few hundred tabs, regardless of their address: one stranger with many tabs would
push out the results of all others. It also notices that a reader has disconnected, but continues the work.
"""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from gradio.state_holder import StateHolder
from starlette.datastructures import QueryParams
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from demo.addresses import group_of
from demo.settings import NO_SESSION, SESSION, SESSIONS, SESSIONS_EACH

_ASKED_AT = "cliptrase.asked_at"
NO_ANSWER = "There is no answer to this event: it was read before, or the server has started again. Call again."
_STREAM = re.compile(r"/gradio_api/(?:queue/data|call/(?:v2/)?\w+/(?P<event>[^/]+))/?")
_NAME = re.compile(SESSION)


class Sessions(StateHolder):
    """States of tabs; above the limits, the address with the most tabs loses one, the longest idle first."""

    def __init__(self, most: int = SESSIONS, each: int = SESSIONS_EACH) -> None:
        """Start empty.

        Args:
            most: maximum number of sessions.
            each: maximum number of sessions of one address.
        """
        super().__init__()
        self._most, self._each = most, each
        self._address: dict[str, str] = {}
        self._files: dict[str, set[str]] = {}
        self._given_back: dict[str, set[str]] = {}  # files that stayed, because another session had them

    @classmethod
    def instead_of(cls, holder: StateHolder) -> Sessions:
        """Return a replacement for Gradio's own holder, with the same content."""
        sessions = cls()
        sessions.set_blocks(holder.blocks)
        sessions.session_data.update(holder.session_data)
        return sessions

    def note(self, session: str, address: str, files: Iterable[str] = ()) -> None:
        """Record the address of a session, and files that it uploaded or was shown.

        A session that was dropped while its event ran is not recorded: nothing would ever remove it again.
        """
        found = set(files)  # before the lock: the search may take a while
        with self.lock:
            if session not in self.session_data:
                return
            self._address[session] = group_of(address)
            if found:
                self._files.setdefault(session, set()).update(found)
            self._forget_oldest(session)

    def update(self, session_id: str) -> None:
        """Mark a session as the newest, and drop others above the limits; Gradio's own rule never applies."""
        with self.lock:
            if session_id in self.session_data:
                self.session_data.move_to_end(session_id)
            self._forget_oldest(session_id)

    def end(self, session: str) -> None:
        """Note that nobody will use a session any more."""
        with self.lock:
            if session in self.session_data:
                self.session_data[session].is_closed = True

    def give_back(self, session: str, earlier: Iterable[str] = ()) -> tuple[list[str], int]:
        """Forget the files of a session that no other one has.

        Args:
            session: session whose files are deleted.
            earlier: sessions of the same tab before it was loaded again; those that are still open are left alone.

        Returns:
            Paths of these files, and the number of files that stay because another open session has them too: files of
            equal content are one file.
        """
        with self.lock:
            own = {session, *filter(self._has_ended, earlier)}
            mine = set().union(*(held.pop(one, set()) for one in own for held in (self._files, self._given_back)))
            others = set().union(*(files for one, files in self._files.items() if not self._has_ended(one)))
            for files in self._files.values():
                files -= mine - others
            self._given_back[session] = mine & others
        return sorted(mine - others), len(mine & others)

    def _has_ended(self, session: str) -> bool:
        """Return whether the page of a session was closed or loaded again."""
        return session not in self.session_data or bool(self.session_data[session].is_closed)

    def _forget_oldest(self, used: str) -> None:
        """Drop sessions until all limits are met; the caller holds the lock."""
        counts = Counter(self._address.get(session, "") for session in self.session_data)
        while counts:
            address, count = counts.most_common(1)[0]
            if count <= self._each and counts.total() <= self._most:
                break
            theirs = [one for one in self.session_data if self._address.get(one, "") == address and one != used]
            if not theirs:
                break
            # Closed tabs first; then the least recently used, in the order in which they are stored.
            gone = min(theirs, key=lambda one: not self.session_data[one].is_closed)
            for kept in (self.session_data, self.time_last_used, self._address):
                kept.pop(gone, None)
            counts[address] -= 1
        # Files of ended sessions are known for longer: their tab, loaded again, may delete them.
        for files in (self._files, self._given_back):
            ended = [one for one in files if one not in self.session_data]
            for one in ended[: max(0, len(files) - self._most)]:
                del files[one]


def files_in(value: Any, folder: str) -> Iterator[str]:
    """Yield the paths of files below a folder, at any depth of a value that Gradio sends.

    Gradio sends later steps of an event as differences from the step before: there, a path may stand alone.
    """
    if isinstance(value, str):
        if _is_file_below(value, folder):
            yield value
    else:
        for part in _parts(value):
            yield from files_in(part, folder)


def uploads_in(value: Any, folder: str) -> Iterator[str]:
    """Yield the paths of files below a folder that a request declares as files; in other fields, paths are words."""
    path = value.get("path") if isinstance(value, dict) else None
    if isinstance(path, str) and _is_file_below(path, folder):
        yield path
    for part in _parts(value):
        yield from uploads_in(part, folder)


def _parts(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, (list, tuple)) else ()


def _is_file_below(path: str, folder: str) -> bool:
    """Return whether a path is the plain name of a file below a folder: "a//b" and "a/./b" would be further names."""
    return path.startswith(folder + os.sep) and os.path.normpath(path) == path and os.path.isfile(path)


class Departures:
    """ASGI middleware that cancels the work of readers who disconnect before the end of their answers."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an app."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on, and watch the streams of answers."""
        if scope["type"] == "lifespan":
            scope["app"].state_holder = Sessions.instead_of(scope["app"].state_holder)
        scope[_ASKED_AT] = time.monotonic()
        reader = _reader(scope)
        if reader is None:
            await self._app(scope, receive, send)
            return
        if not _NAME.fullmatch(reader):
            await PlainTextResponse(NO_SESSION, 400)(scope, receive, send)
            return
        if "/call/" in scope["path"] and not _has_answer(scope["app"].get_blocks()._queue, reader):
            await PlainTextResponse(NO_ANSWER, 404)(scope, receive, send)
            return
        wanted, ended = scope["app"].get_blocks().tokens, False

        async def sending(message: Message) -> None:
            nonlocal ended
            ended = ended or (message["type"] == "http.response.body" and not message.get("more_body"))
            await send(message)

        async def receiving() -> Message:
            message = await receive()
            if message["type"] == "http.disconnect" and not ended:
                wanted.cancel_reader(reader)
            return message

        await self._app(scope, receiving, sending)


def asked_at(request: Any) -> float:
    """Return the arrival time of a request, by `time.monotonic`; the current time if it did not pass `Departures`.

    Args:
        request: a `gr.Request`.
    """
    scope = getattr(getattr(request, "request", None), "scope", {})
    return float(scope.get(_ASKED_AT, time.monotonic()))


def _has_answer(queue: Any, event: str) -> bool:
    """Return whether an answer is still to come or to be read: without one, Gradio sends heartbeats for ever."""
    messages = queue.pending_messages_per_session.get(event)
    return messages is not None and (bool(queue.pending_event_ids_session.get(event)) or not messages.empty())


def _reader(scope: Scope) -> str | None:
    """Return the session or event whose answers a request reads; None for other requests."""
    found = _STREAM.fullmatch(scope["path"]) if scope["type"] == "http" and scope["method"] == "GET" else None
    if found is None:
        return None
    return found["event"] or QueryParams(scope["query_string"]).get("session_hash")  # the last one, like Gradio
