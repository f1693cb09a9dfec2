"""What can go wrong, as one small tree. Every message says what was expected, what was given, what to do."""


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
