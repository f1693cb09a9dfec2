"""Removal of work that Gradio and Python do at every start and that the page does not need.

At every start, Gradio parses the source of each component class and writes a file beside it that helps editors. It
skips classes without a source file. Around every request it makes matplotlib draw into memory, which imports all of
matplotlib at the first request; this page never uses matplotlib's global state. And Python runs its garbage collector
many times while a million permanent objects are created. Imports no Gradio itself.
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
    """Make Gradio's classes appear to have no source file within this context."""
    getfile = inspect.getfile

    def no_file_of_classes(thing: Any) -> str:
        if isinstance(thing, type) and thing.__module__.startswith("gradio."):
            raise OSError("no file")
        return getfile(thing)

    inspect.getfile = no_file_of_classes  # type: ignore[assignment]
    try:
        yield
    finally:
        inspect.getfile = getfile


def without_matplotlib() -> None:
    """Make Gradio answer requests without importing matplotlib; Gradio must already be imported."""
    vars(sys.modules["gradio.utils"])["MatplotlibBackendMananger"] = nullcontext


def collect_after(loaded: Callable[[], None]) -> None:
    """Enable garbage collection again once `loaded` returns; objects that exist by then are never collected."""

    def go_on() -> None:
        loaded()
        gc.freeze()
        gc.enable()

    threading.Thread(target=go_on, daemon=True, name="garbage").start()
