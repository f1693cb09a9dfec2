"""Cancellation of running work: one token for each request, checked between the steps of the work.

    token = cc.CancelToken(seconds=60)
    with cc.cancellable(token):           # in the working thread
        segmenter.encode("picture.jpg")   # raises cc.Cancelled soon after `token.cancel()` or a minute
    ...
    token.cancel()                        # from any thread

Each transformer block, batch of words, clustering, method, strip of labels and chunk of SAM checks once. Reading of
most pictures, loading of a model, figures and `to_coco` do not check: they end first. Without a token, a check takes
less than a microsecond. The token is a context variable: a new thread has none, unless it runs in
a copy of the context that started it (`contextvars.copy_context().run`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from cliptrase_core.errors import InputError, is_number

Item = TypeVar("Item")

Progress = Callable[[float, str], None]
"""Progress callback (share in [0, 1], text); an exception that it raises stops the work."""

WAIT = 0.05
"""Seconds between two checks while waiting for a lock."""


_LATE = "The time limit is over."


class Cancelled(Exception):  # noqa: N818 - not an error: the result is no longer needed
    """Exception raised at the next step of cancelled work. Incomplete results are discarded.

    Attributes:
        late: True if the time limit ended the work, False if `cancel` was called.
    """

    def __init__(self, late: bool | str = False) -> None:
        """Set the message by the reason.

        Args:
            late: the reason, or a text with the message. `pickle`, and `torch` for a worker of a DataLoader, make the
                exception again from a text.
        """
        self.late = _LATE in late if isinstance(late, str) else bool(late)
        super().__init__(_LATE if self.late else "The work was cancelled.")


class CancelToken:
    """State of work that can be cancelled or has a time limit; any thread may read or cancel it."""

    def __init__(self, seconds: float | None = None) -> None:
        """Start the time limit.

        Args:
            seconds: time limit in seconds from now; None for no limit. A limit that is over already (0 or less, such as
                the rest of an earlier one) cancels at the first check.

        Raises:
            InputError: `seconds` is not a number.
        """
        if seconds is not None and (not is_number(seconds) or seconds != seconds):
            remedy = "Leave it out for no limit."
            raise InputError("time limit", expected="seconds, a number", got=repr(seconds)[:40], remedy=remedy)
        self._cancelled = threading.Event()
        self._end = None if seconds is None else time.monotonic() + seconds

    def cancel(self) -> None:
        """Cancel the work; further calls have no effect."""
        self._cancelled.set()

    @property
    def cancelled(self) -> bool:
        """True if the work was cancelled, or the time limit is over."""
        return self._cancelled.is_set() or self._late

    def check(self) -> None:
        """Raise Cancelled if the work was cancelled, or the time limit is over."""
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
    """Apply a token to this thread within the context; None protects work that others need too, such as a download.

    Raises:
        InputError: neither a token nor None.
    """
    if token is not None and not isinstance(token, CancelToken):
        remedy = "Give CancelToken(seconds=60), for example."
        raise InputError("token", expected="a CancelToken or None", got=repr(token)[:40], remedy=remedy)
    before = _current.set(token)
    try:
        yield
    finally:
        _current.reset(before)


def current() -> CancelToken | None:
    """Return the token of this thread, to pass it to another thread."""
    return _current.get()


def check() -> None:
    """Raise Cancelled if the token of this thread requires it. Call it between the steps of long work."""
    token = _current.get()
    if token is not None:
        token.check()


def quietly(share: float, text: str) -> None:
    """Ignore progress; the default `Progress`."""


def steps(items: Iterable[Item]) -> Iterator[Item]:
    """Yield the items, with a `check` before each."""
    for item in items:
        check()
        yield item


@contextmanager
def holding(lock: threading.Lock) -> Iterator[None]:
    """Hold a lock that others may hold for a long time; cancelled work neither waits for it nor takes it.

    Raises:
        Cancelled: the work was cancelled before the lock was free.
    """
    check()
    while not lock.acquire(timeout=-1 if _current.get() is None else WAIT):
        check()
    try:
        check()  # the token may have been cancelled between the last check and the lock
        yield
    finally:
        lock.release()


@contextmanager
def timed(timings: dict[str, float], stage: str) -> Iterator[None]:
    """Measure the duration of the block in seconds and store it under the name of its stage."""
    start = time.perf_counter()
    yield
    timings[stage] = time.perf_counter() - start
