"""Visitors as the server sees them: how many tabs an address may keep open, whose files are whose, and who has gone.

Gradio keeps what each tab looks at, the newest few hundred of them whoever they belong to: one stranger with many tabs
would push out everybody else's results. It also notices that a reader has gone, and works on for him.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import parse_qs

from gradio.state_holder import StateHolder
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from demo.addresses import group_of
from demo.settings import SESSIONS, SESSIONS_EACH

_ASKED_AT = "cliptrase.asked_at"
_STREAM = re.compile(r"/gradio_api/(?:queue/data|call/(?:v2/)?\w+/(?P<event>\w+))/?")


class Sessions(StateHolder):
    """What tabs look at; where it is too much, the address with most tabs gives one up, the longest idle one first."""

    def __init__(self, most: int = SESSIONS, each: int = SESSIONS_EACH) -> None:
        """Start empty.

        Args:
            most: sessions that are kept.
            each: of them at one address.
        """
        super().__init__()
        self._most, self._each = most, each
        self._address: dict[str, str] = {}
        self._files: dict[str, set[str]] = {}

    @classmethod
    def instead_of(cls, holder: StateHolder) -> Sessions:
        """Take over from Gradio's own."""
        sessions = cls()
        sessions.set_blocks(holder.blocks)
        sessions.session_data.update(holder.session_data)
        return sessions

    def note(self, session: str, address: str, files: Iterable[str] = ()) -> None:
        """Remember where a session is from, and files that it uploaded or was shown."""
        with self.lock:
            self._address[session] = group_of(address)
            self._files.setdefault(session, set()).update(files)
            self._make_room(session)

    def update(self, session_id: str) -> None:
        """A session is used: it is the newest now, and others may have to go; Gradio's own rule never applies."""
        with self.lock:
            if session_id in self.session_data:
                self.session_data.move_to_end(session_id)
            self._make_room(session_id)

    def give_back(self, session: str) -> tuple[list[str], int]:
        """Forget the files of a session.

        Returns:
            Those that are nobody else's, and how many others stay because another session has them too: files of equal
            content are one file.
        """
        with self.lock:
            mine = self._files.pop(session, set())
            others = set().union(*self._files.values())
        return sorted(mine - others), len(mine & others)

    def _make_room(self, used: str) -> None:
        """Give up sessions until nobody has too many; called with the lock held."""
        counts = Counter(self._address.get(session, "") for session in self.session_data)
        while counts:
            address, count = counts.most_common(1)[0]
            if count <= self._each and counts.total() <= self._most:
                return
            theirs = [one for one in self.session_data if self._address.get(one, "") == address and one != used]
            if not theirs:
                return
            # Closed tabs first; then those unused for longest, in which order they are kept.
            gone = min(theirs, key=lambda one: not self.session_data[one].is_closed)
            for kept in (self.session_data, self.time_last_used, self._address, self._files):
                kept.pop(gone, None)  # type: ignore[attr-defined]
            counts[address] -= 1


def files_in(value: Any, folder: str) -> Iterator[str]:
    """Paths below a folder, at any depth of what Gradio was sent or sends."""
    if isinstance(value, str):
        if value.startswith(folder) and "\0" not in value and ".." not in value:
            yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from files_in(part, folder)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from files_in(part, folder)


class Departures:
    """ASGI middleware: tells the page's `wanted` who stopped reading answers before their end."""

    def __init__(self, app: ASGIApp) -> None:
        """Stand before an app."""
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
        wanted, ended = scope["app"].get_blocks().tokens, False

        async def sending(message: Message) -> None:
            nonlocal ended
            ended = ended or (message["type"] == "http.response.body" and not message.get("more_body"))
            await send(message)

        async def receiving() -> Message:
            message = await receive()
            if message["type"] == "http.disconnect" and not ended:
                wanted.left(reader)
            return message

        await self._app(scope, receiving, sending)


def asked_at(request: Any) -> float:
    """When a request reached this server, by `time.monotonic`; now for what did not come through `Departures`.

    Args:
        request: a `gr.Request`.
    """
    scope = getattr(getattr(request, "request", None), "scope", {})
    return float(scope.get(_ASKED_AT, time.monotonic()))


def _reader(scope: Scope) -> str | None:
    """Session or event whose answers a request reads; None for other requests."""
    found = _STREAM.fullmatch(scope["path"]) if scope["type"] == "http" and scope["method"] == "GET" else None
    if found is None:
        return None
    return found["event"] or parse_qs(scope["query_string"].decode("latin-1")).get("session_hash", [None])[0]
