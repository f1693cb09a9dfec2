"""Errors that a user can fix, with a text that may be shown. Imports no Gradio."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from errno import ENOMEM

from demo import core


class UserError(Exception):
    """Error that the user can fix; its text may be shown."""


@contextmanager
def for_people() -> Iterator[None]:
    """Turn the core's own errors, and a lack of memory, into a `UserError` with a helpful text."""
    try:
        yield
    except core.errors.CliptraseError as error:
        raise UserError(str(error)) from error
    except (MemoryError, RuntimeError, OSError) as error:
        if not out_of_memory(error):
            raise
        raise UserError(
            "This machine does not have enough memory for this size. Choose a smaller short side under Settings, "
            "for instance 224."
        ) from error


def out_of_memory(error: BaseException) -> bool:
    """Return whether an allocation failed: numpy and a full GPU raise special classes, torch on the CPU only a text."""
    text = str(error).lower()
    marks = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, MemoryError) or getattr(error, "errno", None) == ENOMEM or any(s in text for s in marks)
