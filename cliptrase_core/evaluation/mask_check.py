"""Check a sample of masks before a model is loaded: list their numbers, and check that these fit the layout."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cliptrase_core.errors import InputError, one_line
from cliptrase_core.evaluation.layouts import Pair
from cliptrase_core.evaluation.numbers import VOID, Numbers
from cliptrase_core.io.geometry import Size
from cliptrase_core.io.image import DEFAULT_MAX_PIXELS, opened_file, read_header

MOST = 100
"""Maximal number of masks to open, spread over the data set; opening them takes one or two seconds."""
_SHOWN = 3
_LARGE = 10
"""Minimal number of opened masks among which a single one may be taken for an odd one."""


@dataclass(frozen=True)
class MaskSummary:
    """Content of one mask.

    Attributes:
        key: key of the picture.
        kind: kind of mask file.
        size: (H, W).
        numbers: distinct values of the mask, ascending.
        problem: reason why the mask cannot be used, else None; with a problem, the other fields may be empty.
    """

    key: str
    kind: str = ""
    size: Size = (0, 0)
    numbers: tuple[int, ...] = ()
    problem: str | None = None


@dataclass(frozen=True)
class Convention:
    """Expected meaning of the numbers in masks.

    Attributes:
        numbers: convention of the data set.
        classes: C, without the background.
        first: name of the first class.
        others: conventions of the other published layouts of this data set, by title of the layout.
        ignored_given: True if the user has set the ignored numbers.
        first_given: False if the number of the first class is a default, which the masks may contradict.
        background: True if the words of the user's own folders have a background, False if not; None for other data,
            whose numbers no argument can change.
    """

    numbers: Numbers
    classes: int
    first: str
    others: Mapping[str, Numbers]
    ignored_given: bool = True
    first_given: bool = True
    background: bool | None = None


def summarise(pairs: Sequence[Pair], convention: Convention | None) -> list[MaskSummary]:
    """Open at most `MOST` masks, spread evenly over the data set, and summarise each.

    Args:
        pairs: pictures and masks of the data set.
        convention: convention to check the masks against; None allows any number.
    """
    places = np.unique(np.linspace(0, len(pairs) - 1, min(MOST, len(pairs))).round().astype(int))
    return [_look(pairs[place], convention) for place in places]


def _look(pair: Pair, convention: Convention | None) -> MaskSummary:
    try:
        values, kind = pair.read_mask(pair.mask)
    except InputError as error:
        return MaskSummary(pair.key, problem=one_line(error))
    size = (values.shape[0], values.shape[1])
    numbers = tuple(np.unique(values).tolist())
    problem = None
    try:
        if convention is not None:
            convention.numbers.read(np.array([numbers], np.int32), convention.classes)
        with opened_file(pair.image, "a picture"):
            pass
        picture = _size(pair)
        if picture is not None and size not in (picture, picture[::-1]):  # EXIF may turn the picture
            problem = f"expected the picture's size {picture[0]} x {picture[1]}, got {size[0]} x {size[1]}"
    except InputError as error:
        problem = one_line(error)
    return MaskSummary(pair.key, kind, size, numbers, problem)


def _size(pair: Pair) -> Size | None:
    """Return (H, W) from a picture's header, or None if the header cannot be read."""
    try:
        with io.BytesIO(pair.picture()) if pair.picture else pair.image.open("rb") as file:
            picture = read_header(file, pair.key, DEFAULT_MAX_PIXELS)
            return picture.height, picture.width
    except Exception:  # readers of archives and tables raise dozens of kinds of errors
        return None


def expect_usable(found: Sequence[MaskSummary], convention: Convention, whole: bool) -> None:
    """Raise InputError for masks that would give no figures, or wrong ones.

    Args:
        found: result of `summarise`.
        convention: expected meaning of the numbers.
        whole: True if every mask of the data set was opened.
    """
    numbers = {number for entry in found for number in entry.numbers}
    unknown = numbers - convention.numbers.known(convention.classes) - set(convention.numbers.ignored)
    first, end = convention.numbers.first, convention.numbers.first + convention.classes
    if unknown == {end} and _lacks_first(numbers, convention):
        got = f"{_ranges(numbers - set(convention.numbers.ignored))} and no {first}"
        remedy = f"Give --first {first + 1} (in YAML: first: {first + 1}); if {first} is {convention.first!r}, "
        remedy += f"give --first {first}."
        raise InputError("masks", expected=f"numbers {first} to {end - 1}", got=got, remedy=remedy)
    if unknown:
        for title, other in convention.others.items():
            if numbers <= other.known(convention.classes) | set(other.ignored):
                got = f"those of {title} (also {_ranges(unknown)})"
                remedy = f"Move them to the folder of {title}, set the meaning of their numbers, or convert them."
                raise InputError("masks", expected="numbers of this layout", got=got, remedy=remedy)
    odd = [entry for entry in found if unknown.intersection(entry.numbers)]
    if unknown == {end} and not convention.first_given and (len(odd) > 1 or len(found) < _LARGE):
        raise _from_one(numbers, convention)
    bad = [entry for entry in found if entry.problem]
    if found and len(bad) == len(found):
        count = f"none of {len(found)} that were opened" if len(found) > 1 else "none"
        remedy = f"The first, {bad[0].key!r}: {bad[0].problem}"
        raise InputError("masks", expected="masks that fit their pictures", got=count, remedy=remedy)
    if 2 * len(odd) > len(found):
        raise _beyond(unknown, len(odd), len(found), convention)
    if not convention.ignored_given and numbers == {0, VOID} and VOID in convention.numbers.ignored:
        raise InputError(
            "masks",
            expected="numbers of classes",
            got=f"only 0 and {VOID}, and {VOID} is ignored by default",
            remedy=f"If {VOID} is {convention.first!r}, give --first {VOID}, and 0 as --background or --ignored; "
            f"if it is to be ignored, give --ignored {VOID} (in YAML: first, background, ignored).",
        )
    if whole and numbers and numbers <= set(convention.numbers.ignored):
        got = f"nothing but {_ranges(numbers)}, which does not count"
        remedy = "Check `first`, `ignored` and `background`, or that these are the right masks."
        raise InputError("masks", expected="pixels of some class", got=got, remedy=remedy)


def _from_one(numbers: set[int], convention: Convention) -> InputError:
    """Return the error about masks that hold one number too many, which fit if 0 is none of the classes."""
    own, classes = convention.numbers, convention.classes
    named = "background" if convention.background else "ignored"
    values = [own.first, *(() if convention.background else own.ignored)]
    flags = f"--first {own.first + 1} --{named} {' '.join(map(str, values))}"
    yaml = f"first: {own.first + 1}, {named}: [{', '.join(map(str, values))}]"
    remedy = f"If {own.first} is none of the words, give {flags} (in YAML: {yaml}"
    remedy += ")" if convention.background else f"; with background words, --background {own.first} counts it)"
    return InputError(
        "masks",
        expected=f"numbers {own.first} to {own.first + classes - 1}, one for each of {classes} words",
        got=_ranges(numbers - set(own.ignored)),
        remedy=f"{remedy}; if {own.first} is {convention.first!r}, give --first {own.first}.",
    )


def _beyond(unknown: set[int], odd: int, opened: int, convention: Convention) -> InputError:
    """Return the error about masks that mostly hold numbers without a meaning."""
    remedy = "Check that the masks belong to this setting and were converted its way."
    if convention.background is not None:
        ignored = sorted(unknown | set(convention.numbers.ignored))
        remedy = "Give a word for each number"
        # A long list of numbers is no advice.
        remedy += f", or --ignored {' '.join(map(str, ignored))} if they do not count." if len(ignored) < 9 else "."
    known = _ranges(convention.numbers.known(convention.classes))
    got = f"also {_ranges(unknown)} in {odd} of {opened} masks that were opened"
    return InputError("masks", expected=f"numbers {known}", got=got, remedy=remedy)


def _lacks_first(numbers: set[int], convention: Convention) -> bool:
    """Return whether the number of the first class is a default and in no mask, so that the next one may be meant."""
    return not convention.first_given and bool(numbers) and convention.numbers.first not in numbers


def described(found: Sequence[MaskSummary], convention: Convention | None) -> Iterator[str]:
    """Yield lines of text for the user: kind, size and numbers of the masks, and the masks that cannot be used."""
    opened = [entry for entry in found if entry.kind]
    if opened:
        kinds = sorted({entry.kind for entry in opened})
        least, largest = (by(opened, key=lambda entry: entry.size[0] * entry.size[1]).size for by in (min, max))
        sizes = f"{least[0]} x {least[1]}" + (f" to {largest[0]} x {largest[1]}" if least != largest else "")
        yield f"    {len(opened)} masks opened: {', '.join(kinds)}; {sizes} (height x width)"
        numbers = {number for entry in opened for number in entry.numbers}
        yield f"    numbers: {_ranges(numbers) if convention is None else _meanings(numbers, convention)}"
        if convention is not None and _lacks_first(numbers, convention):
            first, other = convention.numbers.first, convention.numbers.first + 1
            yield f"    no {first} ({convention.first!r}): if the first class has number {other}, give --first {other}"
    bad = [entry for entry in found if entry.problem]
    for entry in bad[:_SHOWN]:
        yield f"    not usable, {entry.key}: {entry.problem}"
    if len(bad) > _SHOWN:
        yield f"    and {len(bad) - _SHOWN} more that are not usable"


def _meanings(numbers: set[int], convention: Convention) -> str:
    """Return numbers grouped by meaning, as text: "classes 0 to 4; not counted 255"."""
    own = convention.numbers
    background, ignored = numbers & set(own.background), numbers & set(own.ignored)
    classes = numbers & own.known(convention.classes) - background
    unknown = numbers - classes - background - ignored
    parts = {"classes": classes, "background": background, "not counted": ignored, "unknown": unknown}
    return "; ".join(f"{name} {_ranges(some)}" for name, some in parts.items() if some)


def _ranges(numbers: set[int]) -> str:
    """Return numbers as text, consecutive ones as a range: "0 to 4, 7, 255"."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    shown = [str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs]
    return ", ".join(shown[:12]) + (", ..." if len(shown) > 12 else "")
