"""Reader of labelme: a JSON of shapes next to each picture."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from os.path import isfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from cliptrase_core.errors import InputError
from cliptrase_core.evaluation.layouts import Pair
from cliptrase_core.evaluation.numbers import Raw
from cliptrase_core.evaluation.readers.base import (
    UNDRAWN,
    Found,
    absent,
    damaged,
    drawn_numbers,
    expect_distinct,
    files_below,
    json_of,
    picture_called,
    text_of,
)
from cliptrase_core.io.files import PICTURE_ENDS, as_file
from cliptrase_core.io.image import DEFAULT_MAX_PIXELS, expect_pixels, read_image
from cliptrase_core.io.masks import read_numbers

_SIGN = b'"shapes"'
_SNIFFED = 1 << 16
_NAMES = "labels.txt"
_WHAT = "a JSON of labelme"
_MOST_EMBEDDED = 200_000_000
"""Maximum length of an embedded picture in base64."""
_NOTHING = ("point", "line", "linestrip", "points")
"""Types of shapes that enclose no pixels."""
_POLYGONS = ("polygon", "rectangle", "oriented_rectangle")


def find_labelme(root: Path) -> Found:
    """Find pictures with labelme's JSON files, in one folder or in its subfolders."""
    files = [path for path in files_below(root, ".json") if _is_labelme(path)]
    if not files:
        raise absent("*.json of labelme, with shapes")
    listed = root / _NAMES
    heads = {path: _head(path) for path in files}
    used = sorted({label for labels, *_ in heads.values() for label in labels})  # the order in the files is arbitrary
    labels = _read_names(listed) if isfile(listed) else used
    numbers, names = drawn_numbers(labels)
    besides = (listed,) if isfile(listed) else ()
    pairs = []
    for path in files:
        _, name, embeds = heads[path]
        picture = _picture(name, path, root)
        embedded = embeds and not isfile(picture)
        read_mask = partial(_read_shapes, picture=None if embedded else picture, numbers=numbers)
        pair = Pair(path.relative_to(root).with_suffix("").as_posix(), picture, path, read_mask, besides)
        pairs.append(replace(pair, image=path, picture=partial(_embedded, path)) if embedded else pair)
    source = _NAMES if besides else "the JSON files"
    return Found(f"labelme, {len(files)} JSON files", expect_distinct(pairs, f"folder {root.name!r}"), names, source)


def _is_labelme(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            start = file.read(_SNIFFED)
            file.seek(max(0, path.stat().st_size - _SNIFFED))
            return _SIGN in start or _SIGN in file.read()
    except OSError:
        return False


def _read_names(path: Path) -> list[str]:
    return list(dict.fromkeys(line.strip() for line in text_of(path).splitlines() if line.strip()))


def _head(path: Path) -> tuple[set[str], Any, bool]:
    """Return the labels of a JSON, its picture's name, and whether the picture is embedded.

    A damaged JSON gives none of them; the error is raised when its mask is read.
    """
    try:
        content = json_of(path, _WHAT)
        labels = {shape["label"].strip() for shape in _shapes(content, path)}
        return labels, content.get("imagePath"), bool(content.get("imageData"))
    except InputError:
        return set(), None, False


def _shapes(content: Mapping[str, Any], path: Path) -> Sequence[Mapping[str, Any]]:
    shapes = content.get("shapes")
    if not isinstance(shapes, list) or not all(isinstance(shape, dict) for shape in shapes):
        raise damaged(path, "a list of shapes", type(shapes).__name__)
    if not all(isinstance(shape.get("label"), str) and shape["label"].strip() for shape in shapes):
        raise damaged(path, "a label of each shape", "none")
    return shapes


def _picture(name: Any, path: Path, root: Path) -> Path:
    """Return the picture that a JSON names, else the picture with the JSON's own stem."""
    named = [picture_called(name, [path.parent, root], path)] if isinstance(name, str) and name.strip() else []
    places = [*named, *(path.with_suffix(end) for end in PICTURE_ENDS)]
    return next((place for place in places if isfile(place)), places[0])


def _embedded(path: Path) -> bytes:
    """Return the content of the picture file that a JSON embeds as base64."""
    text = json_of(path, _WHAT).get("imageData")
    if not isinstance(text, str) or len(text) > _MOST_EMBEDDED:
        got = type(text).__name__ if not isinstance(text, str) else f"{len(text)} characters"
        raise damaged(path, f"imageData of at most {_MOST_EMBEDDED} characters", got)
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except ValueError as error:
        raise damaged(path, "a picture in base64 as imageData", "something else") from error


def _size(path: Path, picture: Path | None) -> tuple[int, int]:
    """Return (height, width) of a picture file, or of the embedded picture if there is no file."""
    if picture is None:
        with as_file(_embedded(path), path.stem) as file:
            return _size(path, file)
    height, width = read_image(picture).shape[:2]
    return height, width


def _read_shapes(path: Path, picture: Path | None, numbers: Mapping[str, int]) -> tuple[Raw, str]:
    """Draw the shapes as numbers (H, W), later ones over earlier ones, as labelme does; see `layouts.ReadMask`."""
    content = json_of(path, _WHAT)
    shapes = _shapes(content, path)
    height, width = (content.get(key) for key in ("imageHeight", "imageWidth"))
    if height is None and width is None:  # files of labelme's first versions
        height, width = _size(path, picture)
    if not (type(height) is int and type(width) is int):
        raise damaged(path, "imageHeight and imageWidth", f"{height!r} and {width!r}"[:60])
    expect_pixels(height, width, f"file {path.name!r}", DEFAULT_MAX_PIXELS)
    canvas = Image.new("I", (width, height), UNDRAWN)
    for shape in shapes:
        label = shape["label"].strip()
        if label not in numbers:
            raise damaged(path, f"labels of {_NAMES}", repr(label)[:60])
        _draw(ImageDraw.Draw(canvas), shape, numbers[label], path)
    return np.array(canvas, np.int32), "shapes of labelme"


def _draw(canvas: ImageDraw.ImageDraw, shape: Mapping[str, Any], number: int, path: Path) -> None:
    kind = shape.get("shape_type") or "polygon"
    if kind in _NOTHING:
        return
    points = _points(shape, path)
    if kind == "circle" and len(points) == 2:
        (x, y), radius = points[0], math.dist(*points)
        canvas.ellipse([x - radius, y - radius, x + radius, y + radius], fill=number, outline=number)
    elif kind == "rectangle" and len(points) == 2:
        (left, top), (right, bottom) = (tuple(by(values) for values in zip(*points, strict=True)) for by in (min, max))
        canvas.rectangle([left, top, right, bottom], fill=number, outline=number)
    elif kind == "mask" and len(points) == 2:
        _paste(canvas, shape, points[0], number, path)
    elif kind in _POLYGONS and len(points) >= 3:
        canvas.polygon(points, fill=number, outline=number)
    else:
        raise damaged(path, "polygons, rectangles or circles", f"a {str(kind)[:30]} of {len(points)} points")


def _paste(
    canvas: ImageDraw.ImageDraw, shape: Mapping[str, Any], corner: tuple[float, float], number: int, path: Path
) -> None:
    """Draw a mask (a PNG in base64) with its upper left corner at `corner`."""
    try:
        content = base64.b64decode(shape["mask"])
        with as_file(content, "mask.png") as file:
            drawn = read_numbers(file) > 0
    except (KeyError, TypeError, ValueError) as error:  # InputError of an unreadable mask is a ValueError
        raise damaged(path, "a PNG as mask of a shape", "something else") from error
    canvas.bitmap((round(corner[0]), round(corner[1])), Image.fromarray(drawn.astype(np.uint8) * 255), fill=number)


def _points(shape: Mapping[str, Any], path: Path) -> list[tuple[float, float]]:
    try:
        points = [(float(x), float(y)) for x, y in shape["points"]]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise damaged(path, "points as x, y", "something else") from error
    if not all(abs(value) <= 1e5 for point in points for value in point):  # also rejects NaN
        raise damaged(path, "points within the picture", "others")
    return points
