"""Class names of a custom data set, and the number of each class in its masks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from cliptrase_core.errors import InputError
from cliptrase_core.names import DATASETS
from cliptrase_core.results import BACKGROUND
from cliptrase_core.text.vocabulary import Vocabulary, parse_vocabulary

_KEY = re.compile(rf"\s*{BACKGROUND}\s*:", re.IGNORECASE)


def read_classes(value: object) -> tuple[Vocabulary, tuple[int, ...] | None]:
    """Parse the classes of a YAML file or an argument.

    Args:
        value: vocabulary as text; or a list with one class in each entry, such as "cat, kitten"; or a mapping from
            mask numbers to classes. A list entry "background: wall, floor" or a key `background` gives background
            words.

    Returns:
        The vocabulary, and the number of each class, or None if `value` has no numbers.

    Raises:
        InputError: any other value, or a duplicate class, since its number would be ambiguous.
    """
    if isinstance(value, Mapping):
        return _from_numbers(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return _from_list(value), None
    vocabulary = parse_vocabulary(_text(value, ""))
    expect_each_once(vocabulary)
    return vocabulary, None


def expect_each_once(vocabulary: Vocabulary) -> None:
    """Raise InputError if classes were united: the numbers of later classes would not match the masks."""
    if vocabulary.united:
        expected = "each class once, since its place is its number in the masks"
        raise _refused(expected, vocabulary.united[0].rstrip("."))


def _from_list(entries: Sequence[object]) -> Vocabulary:
    classes: list[str] = []
    background: list[str] = []
    for place, entry in enumerate(entries, 1):
        if isinstance(entry, Mapping) and [*map(str.casefold, entry)] == [BACKGROUND]:
            (words,) = entry.values()
            background.append(_words(words, place))
        elif isinstance(entry, str) and (key := _KEY.match(entry)):
            background.append(_words(entry[key.end() :], place))
        else:
            classes.append(_words(entry, place))
    if len(classes) == 1 and not background and classes[0].strip().casefold() in DATASETS:
        return parse_vocabulary(classes[0])
    return _joined(classes, background)


def _from_numbers(entries: Mapping[object, object]) -> tuple[Vocabulary, tuple[int, ...]]:
    classes: dict[int, str] = {}
    background = []
    for key, entry in entries.items():
        if str(key).casefold() == BACKGROUND:
            background.append(_words(entry, str(key)))
            continue
        if not re.fullmatch(r"\d{1,5}", str(key)):
            got = f"{str(key)!r}: {str(entry)!r}"
            raise _refused("a list of classes, or numbers in masks to classes such as '3: dog'", got)
        if int(str(key)) in classes:
            raise _refused("each number once", f"{int(str(key))} twice")
        classes[int(str(key))] = _words(entry, str(key))
    return _joined(list(classes.values()), background), tuple(classes)


def _joined(classes: Sequence[str], background: Sequence[str]) -> Vocabulary:
    """Return the vocabulary with one class for each entry; commas separate synonyms."""
    end = f" | {BACKGROUND}: {', '.join(background)}" if background else ""
    # ";;" makes the parser apply the grammar literally: one entry with commas is one class with synonyms.
    vocabulary = parse_vocabulary(";\n".join(classes) + ";;" + end)
    expect_each_once(vocabulary)
    if len(vocabulary.classes) != len(classes):
        got = f"{len(vocabulary.classes)} of {len(classes)} entries"
        raise _refused("a class in each entry", got)
    return vocabulary


def _words(entry: object, place: int | str) -> str:
    text = _text(entry, f" {place}")
    if re.search(r"[;|\n]", text.strip()):
        raise _refused("one class an entry, its synonyms separated by commas", f"{text!r} in entry {place}")
    return text


def _text(value: object, place: str) -> str:
    if not isinstance(value, str) or not value.strip():
        got = "nothing" if isinstance(value, str) else f"{value!r}"
        raise _refused(f"a text in entry{place}" if place else "a text, a list or numbers to classes", got)
    return value


def _refused(expected: str, got: str) -> InputError:
    return InputError("vocabulary", expected=expected, got=got, remedy="See docs/evaluation.md.")
