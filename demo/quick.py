"""What Gradio and Python do at every start and the page has no use for.

While its components are made, Gradio parses the source of each and writes a file beside it that helps editors, anew at
every start. For a class that lies in no file it leaves that out. Around every request it has matplotlib draw into
memory, which imports all of it at the first one; this page never draws through matplotlib's own state. And Python looks
for garbage again and again while a million objects are made that all stay. Imports no Gradio itself.
"""

from __future__ import annotations

import gc
import inspect
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any


@contextmanager
def classes_without_files() -> Iterator[None]:
    """As long as this lasts, Gradio's classes seem to lie in no file."""
    getfile = inspect.getfile

    def no_file_of_classes(thing: Any) -> str:
        if isinstance(thing, type) and thing.__module__.startswith("gradio."):
            raise OSError("no file")
        return getfile(thing)

    inspect.getfile = no_file_of_classes
    try:
        yield
    finally:
        inspect.getfile = getfile


def without_matplotlib() -> None:
    """Have Gradio, which is imported by now, answer requests without importing matplotlib."""
    vars(sys.modules["gradio.utils"])["MatplotlibBackendMananger"] = nullcontext


def collect_after(loaded: Callable[[], None]) -> None:
    """Let Python look for garbage again once `loaded` returns; what is there by then is not looked at any more."""

    def go_on() -> None:
        loaded()
        gc.freeze()
        gc.enable()

    threading.Thread(target=go_on, daemon=True, name="garbage").start()
