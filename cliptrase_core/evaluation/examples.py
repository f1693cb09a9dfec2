"""Bundled example photographs with words and hand-drawn masks as ground truth.

A mask is a text file of polygons beside its picture. Each line is one polygon; later ones cover earlier ones:

    # a comment
    sky: 0,0 800,0 800,600 0,600
    ignore: 0,290 800,300 800,310 0,300

The word before the colon is a class of the picture, or `ignore` for pixels that are not scored. Points are x,y in
pixels of the picture, from its upper left corner; x goes from 0 to W, y from 0 to H.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from cliptrase_core.errors import InputError
from cliptrase_core.io.image import read_image
from cliptrase_core.io.masks import IGNORED
from cliptrase_core.text.vocabulary import parse_vocabulary

LISTING = "examples.json"
MASK_END = ".polygons.txt"
IGNORE = "ignore"
"""Name used instead of a class for pixels whose class is unclear."""

_KEYS = ("name", "file", "words", "credit", "licence", "alt")
_FEWEST_POINTS = 3
_POLYGON = 'a line such as "cat: 12,30 80,31 77,95"'

Polygon = tuple[int, npt.NDArray[np.int32]]
"""Label to paint, and the points (P, 2) as x, y."""


@dataclass(frozen=True)
class Example:
    """One photograph.

    Attributes:
        name: file name without extension.
        path: file of the picture.
        words: suitable vocabulary, as text.
        classes: names of the labels, in the order of the words.
        credit: author and source.
        licence: licence of the photograph.
        alt: text alternative (one sentence) for screen readers.
    """

    name: str
    path: Path
    words: str
    classes: tuple[str, ...]
    credit: str
    licence: str
    alt: str

    @property
    def mask_path(self) -> Path:
        """File of its polygons."""
        return self.path.with_name(self.name + MASK_END)


def read_examples(folder: str | Path) -> list[Example]:
    """Read the list `examples.json` of a folder; the photographs keep its order.

    Raises:
        InputError: the list or an entry is invalid, a picture is missing, or two examples have the same name.
    """
    try:
        entries = json.loads(_read_text(Path(folder) / LISTING))
    except json.JSONDecodeError as error:
        got = f"other text in line {error.lineno}"
        raise _error(LISTING, "a JSON list of examples", got, "Correct that line.") from error
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise _error(LISTING, "a JSON list of examples", "other JSON", "Put every example into one list.")
    found = [_example(Path(folder), entry) for entry in entries]
    names = [example.name for example in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise _error(LISTING, "a name of its own for each example", f"{twice!r} twice", "Rename one.")
    return found


def read_mask(example: Example) -> npt.NDArray[np.int32]:
    """Paint the polygons of an example.

    Returns:
        (H, W) as returned by `read_image`: index into `example.classes`, or `IGNORED` inside polygons of `ignore`
        and outside all polygons.

    Raises:
        InputError: no picture, no mask, or a line is not a valid polygon of this picture; the message names the line.
    """
    height, width = read_image(example.path).shape[:2]
    labels = np.full((height, width), IGNORED, np.int32)
    numbers = {name: label for label, name in enumerate(example.classes)} | {IGNORE: IGNORED}
    painted = False
    for number, points in _polygons(example.mask_path, numbers, (height, width)):
        cv2.fillPoly(labels, [points], number)
        painted = True
    if not painted:
        raise _error(example.mask_path.name, f"at least {_POLYGON}", "no polygon", "Draw one for each class.")
    return labels


def _example(folder: Path, entry: Mapping[str, Any]) -> Example:
    for key in _KEYS:
        value = entry.get(key)
        if not isinstance(value, str) or not value.strip():
            which = repr(entry.get("name", entry.get("file", "without a name")))
            got = "none" if value is None else repr(value)
            raise _error(f"{LISTING}, example {which}", f"a text for {key!r}", got, f"Add its {key!r}.")
    name, file = entry["name"], entry["file"]
    if file != Path(file).name or Path(file).stem != name:
        expected = f"a file of that name beside {LISTING}"
        raise _error(f"{LISTING}, example {name!r}", expected, repr(file), "Give the file the name of its example.")
    if not (folder / file).is_file():
        raise _error(f"{LISTING}, example {name!r}", f"a picture {file!r}", "no such file", "Put it beside the list.")
    classes = parse_vocabulary(entry["words"]).class_names
    if IGNORE in classes:
        raise _error(
            f"{LISTING}, example {name!r}",
            f"classes other than {IGNORE!r}",
            repr(entry["words"]),
            f"In masks {IGNORE!r} marks pixels that do not count; call the class otherwise.",
        )
    return Example(name, folder / file, entry["words"], classes, entry["credit"], entry["licence"], entry["alt"])


def _polygons(path: Path, numbers: Mapping[str, int], size: tuple[int, int]) -> Iterator[Polygon]:
    for count, line in enumerate(_read_text(path).splitlines(), start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        where = f"{path.name}, line {count}"
        name, colon, rest = text.partition(":")
        if not colon:
            raise _error(where, _POLYGON, "no colon", "Write the class, a colon and the points.")
        if name.strip() not in numbers:
            known = ", ".join(numbers)
            raise _error(where, f"one of {known}", repr(name.strip()), "Use the first word of a class.")
        yield numbers[name.strip()], _points(where, rest.split(), size)


def _points(where: str, texts: list[str], size: tuple[int, int]) -> npt.NDArray[np.int32]:
    height, width = size
    if len(texts) < _FEWEST_POINTS:
        raise _error(where, f"at least {_FEWEST_POINTS} points", str(len(texts)), "Add the points that are missing.")
    points = []
    for text in texts:
        try:
            x, y = map(float, text.split(","))
        except ValueError as error:
            raise _error(where, "points such as 12,30", repr(text), "Write x, a comma and y, no space.") from error
        if not (0 <= x <= width and 0 <= y <= height):  # also refuses NaN
            expected = f"x from 0 to {width} and y from 0 to {height}"
            raise _error(where, expected, repr(text), "Move the point into the picture.")
        points.append((round(x), round(y)))
    return np.array(points, np.int32)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise _error(f"file {path.name!r}", "a text that exists", "no such file", "Restore it.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise _error(f"file {path.name!r}", "a UTF-8 text", "one that cannot be read", "Save it as UTF-8.") from error


def _error(what: str, expected: str, got: str, remedy: str) -> InputError:
    return InputError(what, expected=expected, got=got[:200], remedy=remedy)
