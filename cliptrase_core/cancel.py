"""Work that can be left in its middle: one token for a request, looked at between the steps of whatever it asks for.

    token = cc.CancelToken(seconds=60)
    with cc.cancellable(token):           # in the thread that works
        segmenter.encode("picture.jpg")   # raises cc.Cancelled soon after `token.cancel()` or a minute
    ...
    token.cancel()                        # from any thread

Transformer blocks, batches of words, clusterings, methods, strips of labels and chunks of SAM each look once; where
there is no token, a look costs less than a microsecond. The token is a context variable: a new thread has none, unless
it runs in a copy of its maker's context (`contextvars.copy_context().run`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

Item = TypeVar("Item")

WAIT = 0.05
"""Seconds from one look to the next while a lock is waited for."""


class Cancelled(Exception):  # noqa: N818 - no error: nobody waits any longer
    """Raised inside the work, at its next step, once its token says so. Nothing half-made is kept.

    Attributes:
        late: whether the time limit ended it, and nobody asked for that.
    """

    def __init__(self, late: bool = False) -> None:
        """Say why."""
        super().__init__("The time limit is over." if late else "The work was cancelled.")
        self.late = late


class CancelToken:
    """Says whether work is still wanted; any thread may ask or cancel."""

    def __init__(self, seconds: float | None = None) -> None:
        """Begin to count.

        Args:
            seconds: of the time limit, from now; None for none.
        """
        self._cancelled = threading.Event()
        self._end = None if seconds is None else time.monotonic() + seconds

    def cancel(self) -> None:
        """Nobody wants the work any longer; again does nothing."""
        self._cancelled.set()

    @property
    def cancelled(self) -> bool:
        """Whether somebody cancelled, or the time limit is over."""
        return self._cancelled.is_set() or self._late

    def check(self) -> None:
        """Raise Cancelled unless the work is still wanted."""
        if self._cancelled.is_set():
            raise Cancelled
        if self._late:
            raise Cancelled(late=True)

    @property
    def _late(self) -> bool:
        return self._end is not None and time.monotonic() > self._end


_current: ContextVar[CancelToken | None] = ContextVar("cancel_token", default=None)


@contextmanager
def cancellable(token: CancelToken | None) -> Iterator[None]:
    """What runs within, in this thread, heeds a token; None protects work that others need too, such as a download."""
    before = _current.set(token)
    try:
        yield
    finally:
        _current.reset(before)


def current() -> CancelToken | None:
    """The token that this thread's work heeds, to hand it to another thread."""
    return _current.get()


def check() -> None:
    """Raise Cancelled if this thread's work is no longer wanted. Call it between steps of what takes long."""
    token = _current.get()
    if token is not None:
        token.check()


def steps(items: Iterable[Item]) -> Iterator[Item]:
    """The items, with a `check` before each."""
    for item in items:
        check()
        yield item


@contextmanager
def holding(lock: threading.Lock) -> Iterator[None]:
    """Hold a lock that others may hold for long; whoever is no longer wanted does not wait for it, or take it.

    Raises:
        Cancelled: before the lock was free.
    """
    check()
    while not lock.acquire(timeout=-1 if _current.get() is None else WAIT):
        check()
    try:
        check()  # it may have been set between the last look and the lock
        yield
    finally:
        lock.release()
