"""What can go wrong, as one small tree. Every message says what was expected, what was given, what to do."""

from collections.abc import Collection


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
