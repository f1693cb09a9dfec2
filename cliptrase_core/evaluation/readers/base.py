"""Interface and result of a reader, mapping of a data set's classes to a benchmark, and helpers for readers."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from os.path import isfile
from pathlib import Path
from typing import Any

from cliptrase_core.errors import InputError
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
"""Names of splits; the first one that exists is scored."""

_BACKGROUND = {"background"}
_NOT_COUNTED = {"void", "ignore", "ignored", "unlabelled", "unlabeled", "nodata", "dontcare"}
_ALIASES = {"tvmonitor": "tv", "table": "diningtable"}
"""Class names that VOC, PASCAL Context and COCO spell in several ways."""
_SHOWN = 3
_DEEPEST = 6
_DEEPEST_FOLDER = 4
_LONGEST = 200


class AbsentError(Exception):
    """Error for a layout that is not present, or has other classes; the message names what is missing."""


@dataclass(frozen=True)
class Found:
    """Data set found by a reader.

    Attributes:
        title: name in reports.
        pairs: pairs of the split to score.
        names: the data set's name of each number in masks; empty if only `benchmarks` defines the numbers.
        source: file with the names, for messages.
        benchmarks: meaning of the numbers by name of a setting, if it does not follow from the names.
    """

    title: str
    pairs: Sequence[Pair]
    names: Mapping[int, str] = field(default_factory=dict)
    source: str = ""
    benchmarks: Mapping[str, Numbers] = field(default_factory=dict)

    def numbers_in(self, setting: str, protocol: str) -> Numbers:
        """Return the meaning of the numbers in masks for a benchmark.

        Classes are matched by name. Classes that the benchmark lacks become its background if it has one, else they
        are ignored. Classes that the data set calls void are ignored.

        Raises:
            AbsentError: the data set has other classes than the benchmark.
        """
        if setting in self.benchmarks:
            return self.benchmarks[setting]
        words = setting_words(setting)
        labels = {_plain(group.name): label for label, group in enumerate(words.classes)}
        meant = {number: labels.get(_plain(name)) for number, name in self.names.items()}
        others = {number for number, label in meant.items() if label is None}
        classes = {number: label for number, label in meant.items() if label is not None}
        strange = [self.names[number] for number in others if not is_void(self.names[number])]
        strange = [name for name in strange if not means_background(name)]
        lacking = [group.name for label, group in enumerate(words.classes) if label not in classes.values()]
        if not classes or (lacking and strange):
            shown = f"no {lacking[0]!r}" + (f", and {strange[0]!r}" if strange else "")
            raise AbsentError(f"other classes than {setting}: {shown}")
        void = {number for number in others if is_void(self.names[number])}
        # SCLIP's cvt_coco_object.py turns everything that is no object into background.
        if setting == "coco80" and protocol in PROFILES:
            void = set()
        background = sorted(others - void) if words.background else []
        ignored = sorted(others - set(background))
        return Numbers(ignored=tuple(ignored), background=tuple(background), single=classes)


@dataclass(frozen=True)
class Reader:
    """Reader of one layout.

    Attributes:
        name: value of `--layout`.
        title: readable description.
        find: function that finds the data set in a folder. Raises AbsentError if the folder has another layout, and
            InputError if it has this layout but cannot be read.
    """

    name: str
    title: str
    find: Callable[[Path], Found]


@dataclass(frozen=True)
class ReadSet:
    """User's own data set, found by a reader.

    Attributes:
        name: name in reports.
        found: result of the reader.
        words: classes of the data set, or the user's words for them.
        numbers: meaning of the numbers in masks.
    """

    name: str
    found: Found
    words: Vocabulary
    numbers: Numbers

    @property
    def title(self) -> str:
        """Name of the layout in reports."""
        return self.found.title

    @property
    def convention(self) -> Convention:
        """Expected meaning of the numbers in masks."""
        return Convention(self.numbers, len(self.words.classes), self.words.class_names[0], {})

    def pairs(self) -> list[Pair]:
        """Return all pairs of picture and mask."""
        return list(self.found.pairs)


def own_set(found: Found, name: str) -> ReadSet:
    """Create a data set with its own class names.

    Raises:
        InputError: there are no names of classes, or they are not valid.
    """
    classes = {n: text for n, text in found.names.items() if not is_void(text) and not means_background(text)}
    background = tuple(number for number, text in found.names.items() if means_background(text))
    entries = [readable(text) for text in classes.values()]
    if not entries:
        remedy = "Give --setting where it is a benchmark's."
        raise InputError(found.title, expected="names of classes", got="none", remedy=remedy)
    try:
        words, _ = read_classes([*entries, *([f"{BACKGROUND}: {BACKGROUND}"] if background else [])])
    except InputError as error:
        raise InputError(f"classes in {found.source}: {error}") from error
    ignored = tuple(sorted(set(found.names) - set(classes) - set(background)))
    single = {number: label for label, number in enumerate(classes)}
    return ReadSet(name, found, words, Numbers(ignored=ignored, background=background, single=single))


def with_words(data: ReadSet, text: str) -> ReadSet:
    """Return the data set with the user's words for its classes: the same number of classes, in the same order.

    Raises:
        InputError: the number of classes differs, or only one of the two has a background.
    """
    return replace(data, words=fitting_words(text, data.words))


def fitting_words(text: str, own: Vocabulary) -> Vocabulary:
    """Parse words that replace a data set's own; the number of classes must be the same."""
    words = parse_vocabulary(text)
    expect_each_once(words)
    if len(words.classes) != len(own.classes) or bool(words.background) != bool(own.background):
        wanted = f"{len(own.classes)} classes {'and' if own.background else 'without'} background words"
        got = f"{len(words.classes)} classes {'and' if words.background else 'without'} background words"
        remedy = f"Name its classes in their order: {shown(own.class_names)}."
        raise InputError("vocabulary", expected=wanted, got=got, remedy=remedy)
    return words


def is_void(name: str) -> bool:
    """Return whether pixels with this name are ignored."""
    return _letters(name) in _NOT_COUNTED


def means_background(name: str) -> bool:
    """Return whether this name means the background, that is all pixels without a class: "_background_" too."""
    return _letters(name) in _BACKGROUND


def readable(name: str) -> str:
    """Split a class name into words: "traffic_light" and "TrafficLight" become "traffic light"."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name.replace("_", " "))
    return " ".join(apart.split())


def _letters(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.casefold())


def _plain(name: str) -> str:
    letters = _letters(name)
    return _ALIASES.get(letters, letters)


FEWEST_NUMBERS = 6
"""Minimum number of coordinates of a polygon: those of a triangle."""
UNDRAWN, NOT_COUNTED = 0, VOID_16
"""Numbers in masks drawn by a reader: pixels outside all shapes, and shapes that are ignored."""


def drawn_numbers(labels: Iterable[str]) -> tuple[dict[str, int], dict[int, str]]:
    """Number the labels of shapes in their order, from 1; return label to number, and number to name."""
    names = {UNDRAWN: BACKGROUND, NOT_COUNTED: "ignored"}
    numbers = {}
    for label in dict.fromkeys(labels):
        if means_background(label):
            numbers[label] = UNDRAWN
        elif is_void(label):
            numbers[label] = NOT_COUNTED
        else:
            numbers[label] = len(names) - 1
            names[len(names) - 1] = label
    return numbers, names


def absent(what: str) -> AbsentError:
    """Create the error for a file or folder that is not present."""
    return AbsentError(f"no {what}")


def damaged(path: Path, expected: str, got: str) -> InputError:
    """Create the error for a file of the right layout that cannot be read."""
    return InputError(f"file {path.name!r}", expected=expected, got=got, remedy="Export or unpack it again.")


def json_of(path: Path, what: str) -> dict[str, Any]:
    """Read the entries of a JSON file.

    Args:
        path: path of the file.
        what: expected content, for messages.

    Raises:
        InputError: the file does not parse, or does not contain a JSON object.
    """
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(path, what, "one that does not parse") from error
    if not isinstance(content, dict):
        raise damaged(path, what, type(content).__name__)
    return content


def text_of(path: Path) -> str:
    """Read a text file.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        return read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        got = error.strerror if isinstance(error, OSError) else "neither UTF-8 nor UTF-16"
        raise damaged(path, "a text", got or "an error") from error


def first_split(there: Iterable[str]) -> str | None:
    """Return the split to score: the first of `SPLITS` in `there`, else the only one whatever its name, else None."""
    names = list(there)
    lone = names[0] if len(names) == 1 else None
    return next((name for split in SPLITS for name in names if name.casefold() == split), lone)


def files_below(folder: Path, *ends: str) -> list[Path]:
    """List files with these endings (lower case, compared without case), sorted.

    Hidden files and folders are skipped, and folders more than `_DEEPEST_FOLDER` levels down.
    """
    found = []
    for place, below, names in os.walk(folder, followlinks=True):
        here = Path(place)
        level = len(here.parts) - len(folder.parts)
        below[:] = [name for name in below if not name.startswith(".") and level < _DEEPEST_FOLDER]
        found += [here / name for name in names if name.casefold().endswith(ends) and not name.startswith(".")]
    return sorted(found)


def picture_called(name: Any, folders: Sequence[Path], file: Path) -> Path:
    """Find a picture by its name in a listing: the longest end of its path that exists in one of the folders.

    Programs write paths of other machines, so leading folders are left out. No name leads out of the folders.

    Args:
        name: name in the listing.
        folders: candidate folders, the likeliest first.
        file: the listing, for messages.

    Returns:
        An existing file, or the expected path if there is none.

    Raises:
        InputError: the name is not usable.
    """
    parts = [part for part in re.split(r"[/\\]", name) if part not in ("", ".", "..")] if isinstance(name, str) else []
    ends = [Path(*parts[start:]) for start in range(max(0, len(parts) - _DEEPEST), len(parts))]
    places = [folder / end for end in ends for folder in folders if folder in (folder / end).parents]
    if not places or "\0" in name or max(map(len, parts)) > _LONGEST:
        raise damaged(file, "the name of a picture", repr(name)[:60])
    return next((place for place in places if isfile(place)), places[-len(folders)])


def key_of(name: object) -> str:
    """Return the key of a picture from its name in a listing: without extension, and without "." and ".." folders."""
    parts = [part for part in re.split(r"[/\\]", str(name)) if part not in ("", ".", "..")]
    return "/".join([*parts[:-1], Path(parts[-1]).stem]) if parts else ""


def expect_distinct(pairs: Sequence[Pair], what: str) -> tuple[Pair, ...]:
    """Return the pairs, sorted by key.

    Raises:
        InputError: there are no pairs, or two with the same key.
    """
    keys = [pair.key for pair in pairs]
    twice = next((key for key in keys if keys.count(key) > 1), None) if len(set(keys)) != len(keys) else None
    if twice is not None or not keys:
        got = f"two of the name {twice!r}" if twice is not None else "none"
        remedy = "Remove one of them." if keys else "Check that all of it was exported or unpacked."
        raise InputError(what, expected="pictures, each of its own name", got=got, remedy=remedy)
    return tuple(sorted(pairs, key=lambda pair: pair.key))


def shown(names: Iterable[str]) -> str:
    """Format the first names of a list, for messages."""
    listed = list(names)
    return ", ".join(map(repr, listed[:_SHOWN])) + (", ..." if len(listed) > _SHOWN else "")
