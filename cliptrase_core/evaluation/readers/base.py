"""What a reader is, what it gives, and how an owner's classes become those of a benchmark."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cliptrase_core.errors import InputError, explain
from cliptrase_core.evaluation.classes import expect_each_once, read_classes
from cliptrase_core.evaluation.layouts import Pair
from cliptrase_core.evaluation.mask_check import Convention
from cliptrase_core.evaluation.numbers import VOID_16, Numbers
from cliptrase_core.evaluation.profiles import PROFILES
from cliptrase_core.evaluation.word_lists import setting_words
from cliptrase_core.io.files import read_text
from cliptrase_core.results import BACKGROUND
from cliptrase_core.text.vocabulary import Vocabulary, parse_vocabulary

SPLITS = ("val", "validation", "valid", "test", "default", "trainval", "train")
"""Parts of a data set, the one that is scored first."""

_BACKGROUND = {"background"}
_NOT_COUNTED = {"void", "ignore", "ignored", "unlabelled", "unlabeled", "nodata", "dontcare"}
_ALIASES = {"tvmonitor": "tv", "table": "diningtable", "pottedplant": "pottedplant"}
"""VOC, PASCAL Context and COCO write these in several ways."""
_SHOWN = 3
_DEEPEST = 6
_DEEPEST_FOLDER = 4
_LONGEST = 200


class AbsentError(Exception):
    """A layout is not here; its text says what was looked for."""


@dataclass(frozen=True)
class Found:
    """A data set in the layout of some reader.

    Attributes:
        title: how reports call it.
        pairs: of the part that is scored.
        names: owner's name of each number in masks; none where only `benchmarks` says what numbers mean.
        source: file that holds the names, for messages.
        benchmarks: name of a setting to what numbers mean in it, where that does not follow from names.
    """

    title: str
    pairs: Sequence[Pair]
    names: Mapping[int, str] = field(default_factory=dict)
    source: str = ""
    benchmarks: Mapping[str, Numbers] = field(default_factory=dict)

    def numbers_in(self, setting: str, protocol: str) -> Numbers:
        """What numbers in masks mean in a benchmark.

        Classes are matched by name. What the benchmark does not name is its background, where it has one, or does
        not count; what the owner calls void never counts.

        Raises:
            AbsentError: these are other classes.
        """
        if setting in self.benchmarks:
            return self.benchmarks[setting]
        words = setting_words(setting)
        labels = {_plain(group.name): label for label, group in enumerate(words.classes)}
        meant = {number: labels.get(_plain(name)) for number, name in self.names.items()}
        others = {number for number, label in meant.items() if label is None}
        classes = {number: label for number, label in meant.items() if label is not None}
        strange = [self.names[number] for number in others if not is_void(self.names[number])]
        strange = [name for name in strange if not is_background(name)]
        lacking = [group.name for label, group in enumerate(words.classes) if label not in classes.values()]
        if not classes or (lacking and strange):
            shown = f"no {lacking[0]!r}" + (f", and {strange[0]!r}" if strange else "")
            raise AbsentError(f"other classes than {setting}: {shown}")
        void = {number for number in others if is_void(self.names[number])}
        if setting == "coco80" and protocol in PROFILES:  # SCLIP's cvt_coco_object.py: all that is no object
            void = set()
        background = sorted(others - void) if words.background else []
        ignored = sorted(others - set(background))
        return Numbers(ignored=tuple(ignored), background=tuple(background), single=classes)


@dataclass(frozen=True)
class Reader:
    """One layout.

    Attributes:
        name: as `--layout` calls it.
        title: for people.
        find: the data set in a folder. AbsentError where that is another layout, InputError where it is this one and
            cannot be read.
    """

    name: str
    title: str
    find: Callable[[Path], Found]


@dataclass(frozen=True)
class ReadSet:
    """A data set of one's own that a reader found.

    Attributes:
        name: as reports call it.
        found: where it lies.
        words: its own classes, or those that a person gave for them.
        numbers: what numbers in masks mean.
    """

    name: str
    found: Found
    words: Vocabulary
    numbers: Numbers

    @property
    def title(self) -> str:
        """How reports call the layout."""
        return self.found.title

    @property
    def convention(self) -> Convention:
        """What numbers in masks should mean."""
        return Convention(self.numbers, len(self.words.classes), self.words.class_names[0], {})

    def pairs(self) -> list[Pair]:
        """Every picture with its mask."""
        return list(self.found.pairs)


def own_set(found: Found, name: str) -> ReadSet:
    """A data set by its owner's names.

    Raises:
        InputError: it has none, or names that are no classes.
    """
    classes = {n: text for n, text in found.names.items() if not is_void(text) and not is_background(text)}
    background = tuple(number for number, text in found.names.items() if is_background(text))
    entries = [readable(text) for text in classes.values()]
    if not entries:
        remedy = "Give --setting where it is a benchmark's."
        raise InputError(explain(found.title, expected="names of classes", got="none", remedy=remedy))
    try:
        words, _ = read_classes([*entries, *([f"{BACKGROUND}: {BACKGROUND}"] if background else [])])
    except InputError as error:
        raise InputError(f"classes in {found.source}: {error}") from error
    ignored = tuple(sorted(set(found.names) - set(classes) - set(background)))
    single = {number: label for label, number in enumerate(classes)}
    return ReadSet(name, found, words, Numbers(ignored=ignored, background=background, single=single))


def with_words(data: ReadSet, text: str) -> ReadSet:
    """The same data set, its classes named by a person: as many of them, in the same order.

    Raises:
        InputError: other classes, or background words where there is no background and none where there is.
    """
    return replace(data, words=fitting_words(text, data.words))


def fitting_words(text: str, own: Vocabulary) -> Vocabulary:
    """Words in place of a data set's own, as many classes of them."""
    words = parse_vocabulary(text)
    expect_each_once(words)
    if len(words.classes) != len(own.classes) or bool(words.background) != bool(own.background):
        wanted = f"{len(own.classes)} classes {'and' if own.background else 'without'} background words"
        got = f"{len(words.classes)} classes {'and' if words.background else 'without'} background words"
        remedy = f"Name its classes in their order: {shown(own.class_names)}."
        raise InputError(explain("vocabulary", expected=wanted, got=got, remedy=remedy))
    return words


def is_void(name: str) -> bool:
    """Whether pixels of this name do not count."""
    return _letters(name) in _NOT_COUNTED


def is_background(name: str) -> bool:
    """Whether this name is all that no class is drawn on."""
    return _letters(name) in _BACKGROUND


def readable(name: str) -> str:
    """An owner's name as words: "traffic_light" and "TrafficLight" to "traffic light"."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name.replace("_", " "))
    return " ".join(apart.split())


def _letters(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.casefold())


def _plain(name: str) -> str:
    letters = _letters(name)
    return _ALIASES.get(letters, letters)


FEWEST_NUMBERS = 6
"""Coordinates of a triangle."""
UNDRAWN, NOT_COUNTED = 0, VOID_16
"""Numbers of what no shape covers, and of shapes that do not count, in masks that a reader draws."""


def drawn_numbers(labels: Iterable[str]) -> tuple[dict[str, int], dict[int, str]]:
    """Numbers for the labels of shapes, in their order from 1 on: label to number, and number to name."""
    names = {UNDRAWN: BACKGROUND, NOT_COUNTED: "ignored"}
    numbers = {}
    for label in dict.fromkeys(labels):
        if is_background(label):
            numbers[label] = UNDRAWN
        elif is_void(label):
            numbers[label] = NOT_COUNTED
        else:
            numbers[label] = len(names) - 1
            names[len(names) - 1] = label
    return numbers, names


def absent(what: str) -> AbsentError:
    """What was looked for, and is not there."""
    return AbsentError(f"no {what}")


def damaged(path: Path, expected: str, got: str) -> InputError:
    """A file of the right layout that cannot be read."""
    return InputError(explain(f"file {path.name!r}", expected=expected, got=got, remedy="Export or unpack it again."))


def json_of(path: Path, what: str) -> dict[str, Any]:
    """Entries of a JSON file.

    Args:
        path: of the file.
        what: it should be, for messages.

    Raises:
        InputError: it does not parse, or holds something else.
    """
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(path, what, "one that does not parse") from error
    if not isinstance(content, dict):
        raise damaged(path, what, type(content).__name__)
    return content


def text_of(path: Path) -> str:
    """Text of a file.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        got = error.strerror if isinstance(error, OSError) else "neither UTF-8 nor UTF-16"
        raise damaged(path, "a text", got or "an error") from error


def first_split(there: Iterable[str]) -> str | None:
    """The part that is scored: of those that are there, the first of `SPLITS`; a lone one whatever its name."""
    names = list(there)
    lone = names[0] if len(names) == 1 else None
    return next((name for split in SPLITS for name in names if name.casefold() == split), lone)


def files_below(folder: Path, *ends: str) -> list[Path]:
    """Files whose name ends so, in any case, in order; hidden ones are none, nor is what lies too deep for a layout."""
    found = []
    for place, below, names in os.walk(folder, followlinks=True):
        here = Path(place)
        level = len(here.parts) - len(folder.parts)
        below[:] = [name for name in below if not name.startswith(".") and level < _DEEPEST_FOLDER]
        found += [here / name for name in names if name.casefold().endswith(ends) and not name.startswith(".")]
    return sorted(found)


def picture_called(name: Any, folders: Sequence[Path], file: Path) -> Path:
    """The picture that a listing names, by the longest end of its path that lies in one of some folders.

    Programs write paths of other machines, so what stands before is left out: no name leads out of the folders.

    Args:
        name: as it stands in the file.
        folders: where pictures may be.
        file: that names it, for messages.

    Returns:
        A file, or where it should be.

    Raises:
        InputError: no name.
    """
    parts = [part for part in re.split(r"[/\\]", name) if part not in ("", ".", "..")] if isinstance(name, str) else []
    ends = [Path(*parts[start:]) for start in range(max(0, len(parts) - _DEEPEST), len(parts))]
    places = [folder / end for end in ends for folder in folders if folder in (folder / end).parents]
    if not places or "\0" in name or max(map(len, parts)) > _LONGEST:
        raise damaged(file, "the name of a picture", repr(name)[:60])
    return next((place for place in places if place.is_file()), places[-len(folders)])


def key_of(name: object) -> str:
    """Name of a picture that a listing calls so: without ending, and without folders that lead nowhere."""
    parts = [part for part in re.split(r"[/\\]", str(name)) if part not in ("", ".", "..")]
    return "/".join([*parts[:-1], Path(parts[-1]).stem]) if parts else ""


def expect_distinct(pairs: Sequence[Pair], what: str) -> tuple[Pair, ...]:
    """Pairs in the order of their names.

    Raises:
        InputError: none, or two of one name.
    """
    keys = [pair.key for pair in pairs]
    twice = next((key for key in keys if keys.count(key) > 1), None) if len(set(keys)) != len(keys) else None
    if twice is not None or not keys:
        got = f"two of the name {twice!r}" if twice is not None else "none"
        remedy = "Remove one of them." if keys else "Check that all of it was exported or unpacked."
        raise InputError(explain(what, expected="pictures, each of its own name", got=got, remedy=remedy))
    return tuple(sorted(pairs, key=lambda pair: pair.key))


def shown(names: Iterable[str]) -> str:
    """A few names, for messages."""
    listed = list(names)
    return ", ".join(map(repr, listed[:_SHOWN])) + (", ..." if len(listed) > _SHOWN else "")
