"""Entry `colours` of a data set's YAML file: the class of each colour in its masks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cliptrase_core.errors import InputError
from cliptrase_core.evaluation.classes import read_classes
from cliptrase_core.evaluation.colours import Colour, Colours, colour_of
from cliptrase_core.evaluation.numbers import VOID_16, Numbers
from cliptrase_core.results import BACKGROUND
from cliptrase_core.text.vocabulary import Vocabulary

IGNORED_KEY = "ignored"
_INSTEAD = ("first", "ignored", "background")


def read_colour_entries(entries: Mapping[str, Any]) -> tuple[Vocabulary, Numbers, Colours]:
    """Read the meaning of the colours of a data set's masks.

    Args:
        entries: `colours` maps each class, `background` and `ignored` to a colour, see `colour_of`; `vocabulary`
            lists the classes and is optional: the default is the keys of `colours`, in their order.

    Returns:
        Classes; the numbers for the colours (classes from 0 on); and the list of colours.

    Raises:
        InputError: a class without a colour, a colour without a class, a duplicate colour, or numbers beside colours.
    """
    given = entries["colours"]
    if not isinstance(given, Mapping) or not given:
        raise _refused("a colour for each class, such as 'cat: \"#ff0000\"'", repr(given)[:60])
    also = next((key for key in _INSTEAD if key in entries), None)
    if also is not None:
        raise _refused(f"no numbers beside colours; `{also}` may be a key of `colours`", f"`{also}`")
    colours = {" ".join(str(key).split()): colour_of(value, f"colour of {str(key)!r}") for key, value in given.items()}
    others = {BACKGROUND, IGNORED_KEY}
    names = [key for key in colours if key.casefold() not in others]
    words, own = read_classes(entries.get("vocabulary") or _with_background(names, colours))
    if own is not None:
        raise _refused("classes without numbers", "a number for each class")
    places = {name.casefold(): place for place, name in enumerate(group.name for group in words.classes)}
    places |= {IGNORED_KEY: VOID_16, **({BACKGROUND: len(places)} if words.background else {})}
    return words, _numbers(words), Colours(_by_colour(colours, places), "`colours`")


def _with_background(names: list[str], colours: Mapping[str, Colour]) -> list[str]:
    """Return the classes as input for `read_classes`, one for each colour."""
    background = [f"{BACKGROUND}: {BACKGROUND}"] if BACKGROUND in map(str.casefold, colours) else []
    return [*names, *background]


def _numbers(words: Vocabulary) -> Numbers:
    return Numbers(ignored=(VOID_16,), background=(len(words.classes),) if words.background else ())


def _by_colour(colours: Mapping[str, Colour], places: Mapping[str, int]) -> dict[Colour, int]:
    found: dict[Colour, int] = {}
    for name, colour in colours.items():
        if name.casefold() not in places:
            raise _refused(f"classes of the vocabulary: {', '.join(list(places)[:8])}", repr(name))
        if colour in found:
            raise _refused("another colour for each class", f"{' '.join(map(str, colour))} twice")
        found[colour] = places[name.casefold()]
    named = {name.casefold() for name in colours}
    missing = next((name for name in places if name not in named and name not in (IGNORED_KEY, BACKGROUND)), None)
    if missing is not None:
        raise _refused("a colour for each class", f"none for {missing!r}")
    return found


def _refused(expected: str, got: str) -> InputError:
    return InputError("colours", expected=expected, got=got, remedy="See docs/evaluation.md.")
