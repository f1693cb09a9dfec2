"""End of the program at Ctrl-C, at any moment and without a traceback. Imports nothing slow."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import NoReturn

INTERRUPTED = 130
"""Exit code, as in a shell, after Ctrl-C before the page is up, or after a second Ctrl-C."""


def in_charge() -> bool:
    """Return whether this is the main run: `gradio app.py` runs its file once more, in a thread, to watch it."""
    return threading.current_thread() is threading.main_thread()


def at_once() -> None:
    """Make Ctrl-C end the program immediately: imports take seconds, and there is nothing to clean up yet."""
    if in_charge():
        signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))


def wait() -> None:
    """Wait until Ctrl-C or a termination signal; a second one ends the program immediately."""
    stop = threading.Event()

    def end(*_: object) -> None:
        if stop.is_set():
            os._exit(INTERRUPTED)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    while not stop.wait(0.5):  # on Windows, a wait without a timeout does not react to Ctrl-C
        pass


def now() -> NoReturn:
    """End the program with exit code 0, without errors of a thread that may still be loading a model."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
