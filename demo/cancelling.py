"""Cancellation of work whose result nobody waits for: one token per running event. Imports no Gradio."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from cliptrase_core.cancel import CancelToken
from demo.settings import TIME_LIMIT_S

Handler = TypeVar("Handler", bound=Callable[..., Any])
FORGOTTEN_S = 2 * TIME_LIMIT_S
"""Seconds after which the token of an event is dropped if the end of the event was never reported."""


@dataclass(frozen=True)
class _Event:
    """One event in progress."""

    token: CancelToken
    session: str | None
    since: float


class Tokens:
    """Tokens of all running events; safe to share between threads."""

    def __init__(self) -> None:
        """Start empty."""
        self._running: dict[str, _Event] = {}
        self._disconnected: OrderedDict[str, float] = OrderedDict()  # the oldest first
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._running)

    def token(
        self, event: str | None, session: str | None, since: float, seconds: float | None = TIME_LIMIT_S
    ) -> CancelToken:
        """Return the token of an event, the same one for all of its steps.

        Args:
            event: id of the event; None if its reader cannot disconnect early, because the answer is not a stream.
            session: id of the visitor's session.
            since: time of the request, by `time.monotonic`; a later disconnection of the reader cancels the token.
            seconds: time limit, counted from the first step; None for no limit.
        """
        if event is None:
            return CancelToken(seconds)
        with self._lock:
            self._forget()
            running = self._running.setdefault(event, _Event(CancelToken(seconds), session, time.monotonic()))
            if any(self._disconnected.get(name, since) > since for name in (event, session or "")):
                running.token.cancel()
            return running.token

    def _forget(self) -> None:
        """Drop entries that are too old to matter."""
        old = time.monotonic() - FORGOTTEN_S
        self._running = {event: one for event, one in self._running.items() if one.since > old}
        self._forget_disconnected(old)

    def _forget_disconnected(self, old: float) -> None:
        while self._disconnected and next(iter(self._disconnected.values())) <= old:
            self._disconnected.popitem(last=False)

    def done(self, event: str | None) -> None:
        """Drop the token of an event that has ended."""
        with self._lock:
            self._running.pop(event or "", None)

    def cancel_reader(self, name: str) -> None:
        """Cancel the work of a session, or of one event, whose reader has disconnected; it ends at its next step."""
        with self._lock:
            now = time.monotonic()
            self._disconnected[name] = now
            self._disconnected.move_to_end(name)
            self._forget_disconnected(now - FORGOTTEN_S)  # here too: a stranger may leave often and never begin work
            for event, one in self._running.items():
                if name in (event, one.session):
                    one.token.cancel()


def without_time_limit(handler: Handler) -> Handler:
    """Mark a handler as having no time limit, because it waits for the network and not for this machine."""
    handler.without_time_limit = True  # type: ignore[attr-defined]
    return handler


def limit_of(handler: Any) -> float | None:
    """Return the time limit of a handler in seconds; None for no limit."""
    return None if getattr(handler, "without_time_limit", False) else TIME_LIMIT_S
