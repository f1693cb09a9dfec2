"""Long work with progress, which can be cancelled. Imports no Gradio."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Generator
from typing import TypeVar

from cliptrase_core.cancel import CancelToken, Progress, cancellable, current

Result = TypeVar("Result")
Step = tuple[float, str]

EVERY = 0.25
"""Interval between two checks of the work, in seconds."""


def watched(work: Callable[[Progress], Result]) -> Generator[Step, None, Result]:
    """Run work in its own thread and yield its steps; closing the generator ends the work at its next step.

    The work can be cancelled by the token that is current when the generator starts.

    Args:
        work: function that gets a callable to report its steps, (share in [0, 1], description).

    Yields:
        The newest step when there is a new one, a few times a second.

    Returns:
        The result of the work; an error of the work is raised here.
    """
    newest: list[Step] = []
    token = current() or CancelToken()
    done: list[Result] = []
    failed: list[BaseException] = []

    def progress(share: float, text: str) -> None:
        token.check()
        newest[:] = [(share, text)]

    def run() -> None:
        try:
            with cancellable(token):
                done.append(work(progress))
        except BaseException as error:  # raised in the waiting thread below
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
        if thread.is_alive():  # the generator was closed early; finished work needs no cancelling
            token.cancel()
    if failed:
        raise failed[0]
    return done[0]
