"""Errors that a person can fix, with a text that may be shown. Imports no Gradio."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from errno import ENOMEM

from demo import core


class UserError(Exception):
    """Something that the person can mend; its text is fit to be shown."""


@contextmanager
def for_people() -> Iterator[None]:
    """Turn the core's own errors, and memory that ran out, into text that helps."""
    try:
        yield
    except core.errors.CliptraseError as error:
        raise UserError(str(error)) from error
    except (MemoryError, RuntimeError, OSError) as error:
        if not out_of_memory(error):
            raise
        raise UserError(
            "The memory of this machine does not suffice at this size. Choose a smaller short side under Settings, "
            "for instance 224."
        ) from error


def out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed: numpy and a full GPU have classes for it, torch on the CPU says so in words."""
    text = str(error).lower()
    said = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, MemoryError) or getattr(error, "errno", None) == ENOMEM or any(s in text for s in said)
