"""Exceptions and their messages: expected, got, what to do."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager


class CliptraseError(Exception):
    """Base of every error that this package raises on purpose; its text is fit to show to a person."""


class InputError(CliptraseError, ValueError):
    """A picture, a vocabulary or a setting that cannot be used as it is."""


class WeightsError(CliptraseError):
    """Weights that are missing, damaged, of another architecture, or cannot be fetched."""


class UnsupportedBackboneError(CliptraseError):
    """A model that CLIPtrase cannot run on, found out before anything runs."""


def explain(what: str, *, expected: str, got: str, remedy: str) -> str:
    """One line in the order that every message of this project keeps."""
    return f"{what}: expected {expected}, got {got}. {remedy}"


def expect_one_of(what: str, value: object, known: Collection[str]) -> None:
    """Raise InputError unless `value` is one of the known names, which the message lists."""
    if not isinstance(value, str) or value not in known:
        raise InputError(explain(what, expected=f"one of {', '.join(known)}", got=repr(value), remedy="Pick one."))


def one_line(text: object) -> str:
    """A message without line breaks."""
    return " ".join(str(text).split())


@contextmanager
def memory_explained(what: str) -> Iterator[None]:
    """Turn running out of memory into an InputError about `what`, so that one picture does not end a run."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # torch has an error of its own for GPUs only; on a CPU its text is all there is.
        if not isinstance(error, MemoryError) and not any(mark in str(error) for mark in _NO_ROOM):
            raise
        expected, got = "one that the memory of this computer holds", "a larger one"
        remedy = "Make the picture smaller, or give a smaller --short-side."
        raise InputError(explain(what, expected=expected, got=got, remedy=remedy)) from error


_NO_ROOM = ("out of memory", "allocate memory", "not enough memory")
