"""Cancel the work that nobody waits for: a token for each event that runs. Imports no Gradio."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from cliptrase_core.cancel import CancelToken
from demo.settings import TIME_LIMIT_S

Handler = TypeVar("Handler", bound=Callable[..., Any])
FORGOTTEN_S = 2 * TIME_LIMIT_S
"""Seconds after which a token is dropped whose event ended without a word."""


@dataclass(frozen=True)
class _Asked:
    """One event that is being answered."""

    token: CancelToken
    session: str | None
    since: float


class Tokens:
    """The tokens of all events that run now; threads share one."""

    def __init__(self) -> None:
        """Start empty."""
        self._asked: dict[str, _Asked] = {}
        self._left: dict[str, float] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._asked)

    def token(
        self, event: str | None, session: str | None, asked_at: float, seconds: float | None = TIME_LIMIT_S
    ) -> CancelToken:
        """The token of an event: the same one for all of its steps.

        Args:
            event: its id; None for one that nobody can leave, because its answer is no stream.
            session: of the visitor.
            asked_at: when the event was asked for, by `time.monotonic`: who left after that does not want it.
            seconds: time limit from the first step on; None for none.
        """
        if event is None:
            return CancelToken(seconds)
        with self._lock:
            self._forget()
            asked = self._asked.setdefault(event, _Asked(CancelToken(seconds), session, time.monotonic()))
            if any(self._left.get(name, asked_at) > asked_at for name in (event, session or "")):
                asked.token.cancel()
            return asked.token

    def _forget(self) -> None:
        """Drop what is too old to matter."""
        old = time.monotonic() - FORGOTTEN_S
        self._asked = {event: one for event, one in self._asked.items() if one.since > old}
        self._left = {name: at for name, at in self._left.items() if at > old}

    def done(self, event: str | None) -> None:
        """An event has been answered."""
        with self._lock:
            self._asked.pop(event or "", None)

    def left(self, name: str) -> None:
        """Whoever read the answers of a session, or of one event, has gone: its work ends at its next step."""
        with self._lock:
            self._left[name] = time.monotonic()
            for event, one in self._asked.items():
                if name in (event, one.session):
                    one.token.cancel()


def takes_its_time(handler: Handler) -> Handler:
    """Mark a handler that has no time limit, for it waits for the network and not for this machine."""
    handler.takes_its_time = True  # type: ignore[attr-defined]
    return handler


def limit_of(handler: Any) -> float | None:
    """Seconds that a handler may take; None for any time."""
    return None if getattr(handler, "takes_its_time", False) else TIME_LIMIT_S
