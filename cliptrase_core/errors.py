"""Exceptions, checks of values, and the words of messages: expected, got, remedy; long lists of names."""

import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from errno import EDQUOT, EFBIG, ENOMEM, ENOSPC
from numbers import Integral, Real
from typing import overload

_NONE = re.compile(r"None|NoneType|an entry of type NoneType")
_OBJECT = re.compile(r"<(?:[\w<>]+\.)*(\w+) (?:object\b|.* at 0x).*", re.DOTALL)
_SCALAR = re.compile(r"\bnp\.(?:float|int|uint|bool|longdouble)\w*\((-?[\w.+-]+)\)")

_TRUTH = re.compile(r"\bnp\.(True|False)_")


def _shown(got: str) -> str:
    """Return a given value for a message, without Python's own words: None, addresses, types of NumPy's numbers."""
    if _NONE.fullmatch(got):
        return "nothing"
    if made := _OBJECT.fullmatch(got):
        return f"{'an' if made[1][0] in 'aeiouAEIOU' else 'a'} {made[1]}"
    return _TRUTH.sub(r"\1", _SCALAR.sub(r"\1", got))


class CliptraseError(Exception):
    """Base of every error that this package raises on purpose; its message can be shown to users.

    The message is one line, in the order of all messages of this project: what it is about, what was expected, what was
    given, and what to do. A text alone is a whole message.
    """

    @overload
    def __init__(self, what: str, /) -> None: ...
    @overload
    def __init__(self, what: str, /, *, expected: str, got: str, remedy: str) -> None: ...
    def __init__(self, what: str, /, *, expected: str = "", got: str = "", remedy: str = "") -> None:
        """Form the message from a few words on what it is about, and the three parts."""
        super().__init__(f"{what}: expected {expected}, got {_shown(got)}. {remedy}" if expected else what)


class InputError(CliptraseError, ValueError):
    """Picture, vocabulary or setting that cannot be used."""


class OutputError(InputError):
    """Files that cannot be written; the cause is the error of the file system."""


class WeightsError(CliptraseError):
    """Weights that are missing, damaged, of another architecture, or cannot be downloaded."""


class UnsupportedBackboneError(CliptraseError):
    """Model that CLIPtrase does not support; raised before anything is computed."""


def expect_one_of(what: str, value: object, known: Collection[str]) -> None:
    """Raise InputError unless `value` is one of the known names; the message lists them."""
    if not isinstance(value, str) or value not in known:
        remedy = near(value, known, most=1, cutoff=0.7) or "Pick one."
        raise InputError(what, expected=f"one of {', '.join(known)}", got=repr(value), remedy=remedy)


def near(word: object, known: Collection[str], most: int = 3, cutoff: float = 0.5) -> str:
    """Return "Did you mean ...?" with at most `most` similar known names, or an empty text."""
    folded = {entry.casefold(): entry for entry in known}
    close = get_close_matches(word.casefold(), folded, n=most, cutoff=cutoff) if isinstance(word, str) else []
    return f"Did you mean {' or '.join(folded[entry] for entry in close)}?" if close else ""


def is_number(value: object) -> bool:
    """Return whether a value is a real number: one of Python's or NumPy's, but not True or False."""
    return isinstance(value, Real) and not isinstance(value, bool)


def is_whole(value: object) -> bool:
    """Return whether a value is a whole number: Python's int or one of NumPy's, but not True or False."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_truth(value: object) -> bool:
    """Return whether a value is True or False, of Python or NumPy."""
    of_numpy = str(getattr(value, "dtype", "")) == "bool" and getattr(value, "shape", None) == ()
    return of_numpy or isinstance(value, bool)


def one_line(text: object) -> str:
    """Return a message without line breaks."""
    return " ".join(str(text).split())


def some(names: Sequence[str], limit: int) -> str:
    """Return the first names, and the number of the others; plain text."""
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")


def counted(count: int, what: str, several: str = "") -> str:
    """Return a number and its noun or verb, such as "1 result", "2 results" or "2 are".

    Args:
        count: the number.
        what: word after the number 1.
        several: word after other numbers, unless it is the first one with an s.
    """
    return f"{count} {what if count == 1 else several or what + 's'}"


@contextmanager
def memory_explained(what: str) -> Iterator[None]:
    """Turn an out-of-memory error into an InputError about `what`, so that one picture does not end a run."""
    try:
        yield
    except (MemoryError, RuntimeError, OSError) as error:
        if not out_of_memory(error):
            raise
        expected, got = "one that the memory of this computer holds", "a larger one"
        remedy = "Make the picture smaller, or give a smaller --short-side."
        raise InputError(what, expected=expected, got=got, remedy=remedy) from error


def out_of_memory(error: BaseException) -> bool:
    """Return whether an allocation failed: numpy and a full GPU raise special classes, torch on the CPU only a text."""
    text = str(error).lower()
    marks = ("out of memory", "allocate memory", "not enough memory")
    return isinstance(error, MemoryError) or getattr(error, "errno", None) == ENOMEM or any(s in text for s in marks)


def out_of_space(error: object) -> bool:
    """Return whether a file could not be written for lack of disk space, or of quota."""
    return isinstance(error, OSError) and error.errno in (ENOSPC, EDQUOT, EFBIG)
