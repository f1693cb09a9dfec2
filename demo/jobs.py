"""Long work with progress, which can be cancelled. Imports no Gradio."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Generator
from typing import TypeVar

from cliptrase_core.cancel import CancelToken, cancellable, current

Result = TypeVar("Result")
Step = tuple[float, str]
Progress = Callable[[float, str], None]

EVERY = 0.25
"""Seconds from one look at the work to the next."""


def watched(work: Callable[[Progress], Result]) -> Generator[Step, None, Result]:
    """Run work in a thread of its own and yield its steps; closing the generator ends the work at its next step.

    The work heeds the token that this generator was begun under.

    Args:
        work: is given a callable that it tells (share in [0, 1], what happens).

    Yields:
        The newest step when there is a new one, a few times a second.

    Returns:
        What the work returns; what it raises is raised.
    """
    newest: list[Step] = []
    token = current() or CancelToken()
    done: list[Result] = []
    failed: list[BaseException] = []

    def tell(share: float, text: str) -> None:
        token.check()
        newest[:] = [(share, text)]

    def run() -> None:
        try:
            with cancellable(token):
                done.append(work(tell))
        except BaseException as error:  # handed to whoever waits
            failed.append(error)

    thread = threading.Thread(target=contextvars.copy_context().run, args=(run,), daemon=True, name="watched")
    thread.start()
    shown: list[Step] = []
    try:
        while thread.is_alive():
            thread.join(EVERY)
            if newest != shown:
                shown = newest[:]
                yield shown[0]
    finally:
        if thread.is_alive():  # left: of what is done, nothing more needs to end
            token.cancel()
    if failed:
        raise failed[0]
    return done[0]
