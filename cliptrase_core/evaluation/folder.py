"""A custom data set: folders of pictures and masks, described by arguments or a YAML file."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from cliptrase_core.errors import InputError
from cliptrase_core.evaluation.classes import read_classes
from cliptrase_core.evaluation.colour_entries import read_colour_entries
from cliptrase_core.evaluation.layouts import Layout, Pair, find_pairs
from cliptrase_core.evaluation.mask_check import Convention
from cliptrase_core.evaluation.numbers import VOID, Numbers
from cliptrase_core.evaluation.settings import SETTINGS
from cliptrase_core.evaluation.word_lists import setting_words
from cliptrase_core.text.vocabulary import Vocabulary

YAML_ENDS = (".yaml", ".yml")

_NEEDED = ("images", "masks", "vocabulary")
_OPTIONAL = ("background", "colours", "first", "ignored", "image_end", "listing", "mask_end", "name")
_SEE = "See docs/evaluation.md."


@dataclass(frozen=True)
class FolderSet:
    """A custom data set.

    Attributes:
        name: name for reports.
        layout: folders of pictures and masks, absolute.
        words: classes, and background words if any.
        numbers: meaning of the numbers in masks.
        ignored_given: True if the user has given the ignored numbers.
        first_given: False if the number of the first class is the default.
    """

    name: str
    layout: Layout
    words: Vocabulary
    numbers: Numbers
    ignored_given: bool = False
    first_given: bool = True

    @property
    def title(self) -> str:
        """Name of the layout for reports."""
        return self.layout.title

    def pairs(self) -> list[Pair]:
        """Return every picture with its mask; raises the errors of `find_pairs`."""
        return find_pairs(self.layout, Path())

    @property
    def convention(self) -> Convention:
        """Expected meaning of the numbers in masks, and their meaning in benchmarks with the same words."""
        names = self.words.class_names
        alike = [one for one in SETTINGS.values() if setting_words(one.name).classes == self.words.classes]
        others = {layout.title: layout.numbers for one in alike for layout in one.layouts if layout.numbers is not None}
        given = self.ignored_given, self.first_given, bool(self.words.background)
        return Convention(self.numbers, len(self.words.classes), names[0], others, *given)


def folder_set(entries: Mapping[str, Any], base: Path) -> FolderSet:
    """Build a data set from the entries of its description.

    Args:
        entries: required: `images`, `masks` (folders), `vocabulary` (see `read_classes`). Optional, with defaults:
            `name`; `first` (number of the first class, 0), `ignored` (numbers, [255] if 255 is not a class),
            `background` (numbers, []), `image_end`, `mask_end` (".png"), `listing` (file with one picture name per
            line); `colours` instead of numbers, see `colour_entries`. Numbers may be given as text.
        base: base folder of relative paths.

    Raises:
        InputError: an entry is missing, unknown or of the wrong type, or a folder does not exist.
    """
    entries = {key: value for key, value in entries.items() if value not in (None, "")}
    unknown = sorted(set(map(str, entries)) - {*_NEEDED, *_OPTIONAL})
    missing = [key for key in _NEEDED if not entries.get(key) and (key != "vocabulary" or "colours" not in entries)]
    if unknown or missing:
        got = f"an unknown entry {unknown[0]!r}" if unknown else f"no {missing[0]}"
        remedy = f"{'Leave it out' if unknown else f'Add the entry {missing[0]!r}'}. {_SEE}"
        expected = f"entries {', '.join(_NEEDED)} and perhaps {', '.join(_OPTIONAL)}"
        raise InputError("data set", expected=expected, got=got, remedy=remedy)
    layout = folder_layout(entries, base)
    name = str(entries.get("name") or Path(layout.images).name)
    if "colours" in entries:
        words, numbers, colours = read_colour_entries(entries)
        return FolderSet(name, replace(layout, read_mask=colours.read_mask), words, numbers, True)
    words, own = read_classes(entries["vocabulary"])
    numbers = _convention(entries, words, own)
    first_given = "first" in entries or own is not None  # a map gives each class its number
    return FolderSet(name, layout, words, numbers, "ignored" in entries, first_given)


def folder_layout(entries: Mapping[str, Any], base: Path) -> Layout:
    """Return the folders of pictures and masks; arguments and errors as for `folder_set`, but without a vocabulary."""
    images, masks = (_folder(entries, key, base) for key in ("images", "masks"))
    return Layout(
        f"folders {images.name} and {masks.name}",
        str(images),
        str(masks),
        None,
        image_end=_text(entries, "image_end", ""),
        mask_end=_text(entries, "mask_end", ".png"),
        listing=str(base / _text(entries, "listing", "")) if entries.get("listing") else None,
    )


def _convention(entries: Mapping[str, Any], words: Vocabulary, own: tuple[int, ...] | None) -> Numbers:
    """Return the meaning of the numbers in masks."""
    if own is not None and "first" in entries:
        expected = "no number of the first class, since each class has its own"
        raise InputError("first", expected=expected, got=repr(entries["first"]), remedy="Leave it out.")
    numbers = Numbers(
        first=_number(_alone(entries.get("first", 0))),
        ignored=_numbers(entries, "ignored", ()),
        background=_numbers(entries, "background", ()),
        single={number: label for label, number in enumerate(own or ())},
    )
    if "ignored" not in entries and VOID not in numbers.known(len(words.classes)):
        numbers = Numbers(numbers.first, (VOID,), numbers.background, numbers.single)
    numbers.expect_apart(len(words.classes))
    if numbers.background and not words.background:
        got = ", ".join(map(str, numbers.background))
        remedy = 'Add background words: "... | background: wall, floor"; or give the number in `ignored`.'
        raise InputError("background", expected="no number without background words", got=got, remedy=remedy)
    return numbers


class _Texts(yaml.BaseLoader):  # type: ignore[misc]
    """YAML loader that keeps every value as text; the standard loader turns `no` and `on` into booleans."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Refuse duplicate keys: with `1: cat` and `1: dog` the first would be lost."""
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(None, None, f"{twice!r} twice", node.start_mark)
        found: dict[Any, Any] = super().construct_mapping(node, deep)
        return found


def read_folder_set(path: str | os.PathLike[str]) -> FolderSet:
    """Read a data set from a YAML file; folders are relative to the file.

    Raises:
        InputError: no such file, or its content is not valid for `folder_set`.
    """
    file = Path(path)
    try:
        entries = yaml.load(file.read_bytes(), _Texts)
    except (OSError, UnicodeDecodeError, RecursionError, yaml.YAMLError) as error:
        got = (error.strerror if isinstance(error, OSError) else None) or "a file that does not parse"
        if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
            got += f" (line {error.problem_mark.line + 1}: {error.problem})"
        raise InputError(f"file {file.name!r}", expected="a YAML file", got=got, remedy=_SEE) from error
    if not isinstance(entries, dict):
        got = "nothing" if not entries else type(entries).__name__
        raise InputError(f"file {file.name!r}", expected="entries such as images", got=got, remedy=_SEE)
    return folder_set({"name": file.stem, **entries}, file.resolve().parent)


def _folder(entries: Mapping[str, Any], key: str, base: Path) -> Path:
    text = _text(entries, key, "")
    place = (base / text).resolve()
    if not text or not place.is_dir():
        raise InputError(key, expected="a folder", got=f"no {place}" if text else "nothing", remedy="Check it.")
    return place


def _text(entries: Mapping[str, Any], key: str, default: str) -> str:
    value = _alone(entries.get(key, default))
    if not isinstance(value, (str, os.PathLike)):
        raise InputError(key, expected="a text", got=repr(value), remedy=_SEE)
    return os.fspath(value)


def _alone(value: Any) -> Any:
    """Return the entry of a list with one entry; any other value is unchanged."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _numbers(entries: Mapping[str, Any], key: str, default: tuple[int, ...]) -> tuple[int, ...]:
    value = entries.get(key, default)
    return tuple(map(_number, value)) if isinstance(value, (list, tuple)) else (_number(value),)


def _number(value: Any) -> Any:
    """Convert the text of a whole number to int; anything else is unchanged, so that `Numbers` refuses it."""
    return int(value) if isinstance(value, str) and re.fullmatch(r"\s*-?\d{1,9}\s*", value) else value
