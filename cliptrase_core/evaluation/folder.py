"""Any folder of pictures and masks as a data set, by arguments or a YAML file of some ten lines."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import yaml

from cliptrase_core.errors import InputError, explain
from cliptrase_core.evaluation.layouts import Layout
from cliptrase_core.evaluation.numbers import Numbers
from cliptrase_core.evaluation.settings import Slide
from cliptrase_core.vocabulary import Vocabulary, parse_vocabulary

YAML_ENDS = (".yaml", ".yml")

_KEYS = {"name", "images", "masks", "vocabulary", "first", "ignored", "background", "image_end", "mask_end", "listing"}


@dataclass(frozen=True)
class FolderSet:
    """A data set of one's own.

    Attributes:
        name: as reports call it.
        layout: where pictures and masks are, absolute.
        words: classes, and background words if any.
        numbers: what numbers in masks mean.
    """

    slide: ClassVar[Slide] = Slide()

    name: str
    layout: Layout
    words: Vocabulary
    numbers: Numbers


def folder_set(entries: Mapping[str, Any], base: Path) -> FolderSet:
    """A data set from its entries.

    Args:
        entries: `images`, `masks` (folders), `vocabulary` (text, or a list of classes) are needed; `name`; `first`
            (number of the first class, 0), `ignored` (numbers, [255]), `background` (numbers, []), `image_end`,
            `mask_end` (".png"), `listing` (file with one name a line).
        base: folder that relative paths start from.

    Raises:
        InputError: an entry that is missing, unknown or of the wrong kind, or a folder that is not there.
    """
    unknown = sorted(set(entries) - _KEYS)
    missing = [key for key in ("images", "masks", "vocabulary") if not entries.get(key)]
    if unknown or missing:
        got = f"an unknown entry {unknown[0]!r}" if unknown else f"no {missing[0]}"
        expected = f"entries images, masks, vocabulary and perhaps {', '.join(sorted(_KEYS))}"
        raise InputError(explain("data set", expected=expected, got=got, remedy="See docs/evaluation.md."))
    images, masks = (_folder(entries, key, base) for key in ("images", "masks"))
    name = str(entries.get("name") or images.name)
    listing = str(base / _text(entries, "listing", "")) if entries.get("listing") else None
    layout = Layout(
        f"folders {images.name} and {masks.name}",
        str(images),
        str(masks),
        None,
        image_end=_text(entries, "image_end", ""),
        mask_end=_text(entries, "mask_end", ".png"),
        listing=listing,
    )
    words = entries["vocabulary"]
    text = "; ".join(map(str, words)) if isinstance(words, list) else str(words)
    numbers = Numbers(
        first=entries.get("first", 0),
        ignored=_numbers(entries, "ignored", (255,)),
        background=_numbers(entries, "background", ()),
    )
    vocabulary = parse_vocabulary(text)
    numbers.expect_apart(len(vocabulary.classes))
    return FolderSet(name, layout, vocabulary, numbers)


def read_folder_set(path: str | os.PathLike[str]) -> FolderSet:
    """A data set from a YAML file; folders are relative to the file.

    Raises:
        InputError: no such file, or not what `folder_set` takes.
    """
    file = Path(path)
    try:
        entries = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        got = error.strerror if isinstance(error, OSError) else "a file that does not parse"
        raise InputError(
            explain(f"file {file.name!r}", expected="a YAML file", got=str(got), remedy="See docs/evaluation.md.")
        ) from error
    if not isinstance(entries, dict):
        got = type(entries).__name__
        raise InputError(
            explain(f"file {file.name!r}", expected="entries such as images", got=got, remedy="See docs/evaluation.md.")
        )
    return folder_set({"name": file.stem, **entries}, file.resolve().parent)


def _folder(entries: Mapping[str, Any], key: str, base: Path) -> Path:
    place = (base / _text(entries, key, "")).resolve()
    if not place.is_dir():
        raise InputError(explain(key, expected="a folder", got=f"no {place}", remedy="Check its path."))
    return place


def _text(entries: Mapping[str, Any], key: str, default: str) -> str:
    value = entries.get(key, default)
    if not isinstance(value, (str, os.PathLike)):
        raise InputError(explain(key, expected="a text", got=repr(value), remedy="Put it in quotes."))
    return os.fspath(value)


def _numbers(entries: Mapping[str, Any], key: str, default: tuple[int, ...]) -> tuple[int, ...]:
    value = entries.get(key, default)
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)
