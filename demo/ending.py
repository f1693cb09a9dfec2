"""End the program at Ctrl-C at any moment, without a trace. Imports nothing that takes time."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import NoReturn

INTERRUPTED = 130
"""Exit code, as a shell gives it, of a program that Ctrl-C ended before it was up, or did not want to wait for."""


def in_charge() -> bool:
    """Whether this is the program itself: `gradio app.py` runs its file once more, in a thread, to watch it."""
    return threading.current_thread() is threading.main_thread()


def at_once() -> None:
    """From now on Ctrl-C ends the program at once: imports take seconds, and there is nothing to put away yet."""
    if in_charge():
        signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))


def wait() -> None:
    """Return at Ctrl-C, or when the system asks the program to end; a second Ctrl-C ends it at once."""
    asked = threading.Event()

    def end(*_: object) -> None:
        if asked.is_set():
            os._exit(INTERRUPTED)
        asked.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    while not asked.wait(0.5):  # on Windows, Ctrl-C is not heard during an endless wait
        pass


def now() -> NoReturn:
    """End well. A thread may still be loading a model: what it would say at the end of Python helps nobody."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
