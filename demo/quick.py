"""Import Gradio in half the time.

While its components are made, Gradio parses the source of each and writes a file beside it that helps editors, anew at
every start. For a class that lies in no file it leaves that out.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
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
