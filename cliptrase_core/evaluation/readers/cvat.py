"""Reader of CVAT's XML for images: polygons, boxes, ellipses and masks of all pictures in one file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from os.path import isdir, isfile
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import numpy.typing as npt
from pycocotools import mask as run_lengths

from cliptrase_core.errors import InputError
from cliptrase_core.evaluation.layouts import Pair
from cliptrase_core.evaluation.numbers import Raw
from cliptrase_core.evaluation.readers.base import (
    FEWEST_NUMBERS,
    UNDRAWN,
    Found,
    absent,
    damaged,
    drawn_numbers,
    expect_distinct,
    key_of,
    picture_called,
)
from cliptrase_core.io.image import DEFAULT_MAX_PIXELS, expect_pixels

_FILE = "annotations.xml"
_SHAPES = ("polygon", "box", "ellipse", "mask")

Shape = Mapping[str, str]
"""Attributes of a shape or an image; for a shape, the key "shape" is its kind."""


class _Plain(ElementTree.TreeBuilder):
    """Tree builder that rejects a document type: CVAT writes none, and its entities may expand without limit."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        """Raise ValueError; called before any entity is used."""
        raise ValueError("a document type")


def find_cvat(root: Path) -> Found:
    """Find `annotations.xml` of CVAT for images, with pictures in `images`."""
    path = root / _FILE
    if not isfile(path):
        raise absent(_FILE)
    document = _document(path)
    labels = [(entry.text or "").strip() for entry in document.iterfind("meta//labels/label/name")]
    if document.find("track") is not None:
        raise damaged(path, "CVAT for images", "CVAT for video: export it as 'CVAT for images'")
    numbers, names = drawn_numbers(labels)
    folders = [place for place in (root / "images", root / "images" / "default", root) if isdir(place)]
    pairs = []
    for image in document.iterfind("image"):
        picture = picture_called(image.get("name"), folders, path)
        shapes = [{**shape.attrib, "shape": shape.tag} for shape in image if shape.tag in _SHAPES]
        read_mask = partial(_read_shapes, image=dict(image.attrib), shapes=shapes, numbers=numbers)
        pairs.append(Pair(key_of(image.get("name")), picture, path, read_mask))
    return Found(f"CVAT for images, {_FILE}", expect_distinct(pairs, f"file {_FILE!r}"), names, _FILE)


def _document(path: Path) -> ElementTree.Element:
    try:
        document = ElementTree.fromstring(path.read_bytes(), ElementTree.XMLParser(target=_Plain()))
    except (OSError, ValueError, LookupError, ElementTree.ParseError) as error:
        raise damaged(path, "CVAT's XML", "one that does not parse, or has a document type") from error
    if document.tag != "annotations":
        raise damaged(path, "CVAT's XML, of annotations", repr(document.tag)[:60])
    return document


def _read_shapes(path: Path, image: Shape, shapes: Sequence[Shape], numbers: Mapping[str, int]) -> tuple[Raw, str]:
    """Draw the shapes as numbers (H, W), by z_order and then in file order; see `layouts.ReadMask`."""
    try:
        height, width = int(image["height"]), int(image["width"])
        expect_pixels(height, width, f"file {path.name!r}", DEFAULT_MAX_PIXELS)
        found = np.full((height, width), UNDRAWN, np.int32)
        for shape in sorted(shapes, key=lambda one: int(one.get("z_order", 0))):
            number = numbers.get(shape["label"].strip())
            if number is None:
                raise damaged(path, "labels that it lists", repr(shape["label"])[:60])
            found[_drawn(shape, height, width)] = number
    except InputError:
        raise
    except (KeyError, ValueError, OverflowError) as error:
        name = repr(image.get("name"))[:60]
        raise damaged(path, "shapes with labels and points", f"others for {name}") from error
    return found, f"shapes of CVAT, {path.name}"


def _drawn(shape: Shape, height: int, width: int) -> npt.NDArray[np.bool_]:
    """Return the mask (H, W) of a shape."""
    if shape["shape"] == "mask":
        return _run_lengths(shape, height, width)
    if shape["shape"] == "ellipse":
        return _ellipse(shape, height, width)
    if shape["shape"] == "box":
        left, top, right, bottom = _floats(shape[name] for name in ("xtl", "ytl", "xbr", "ybr"))
        points = [left, top, right, top, right, bottom, left, bottom]
    else:
        pairs = [pair.split(",") for pair in shape["points"].split(";")]
        points = _floats(part for x, y in pairs for part in (x, y))  # ValueError if a pair is malformed
    if len(points) < FEWEST_NUMBERS or max(map(abs, points)) > 2 * max(height, width):
        raise ValueError("points")
    drawn: npt.NDArray[np.bool_] = run_lengths.decode(run_lengths.frPyObjects([points], height, width))[..., 0] > 0
    return drawn


def _run_lengths(shape: Shape, height: int, width: int) -> npt.NDArray[np.bool_]:
    """Decode alternating runs of 0 and 1, row by row within a box."""
    left, top, across, down = (int(shape[name]) for name in ("left", "top", "width", "height"))
    runs = [int(run) for run in shape["rle"].split(",")]
    if min(left, top, across, down, *runs) < 0 or left + across > width or top + down > height:
        raise ValueError("box")
    if sum(runs) != across * down:
        raise ValueError("runs")
    whole = np.zeros((height, width), np.bool_)
    whole[top : top + down, left : left + across] = np.repeat(np.arange(len(runs)) % 2, runs).reshape(down, across)
    return whole


def _ellipse(shape: Shape, height: int, width: int) -> npt.NDArray[np.bool_]:
    x, y, across, down, turned = _floats(
        [*(shape[name] for name in ("cx", "cy", "rx", "ry")), shape.get("rotation", 0)]
    )
    if max(map(abs, (x, y, across, down))) > 2 * max(height, width):
        raise ValueError("ellipse")
    canvas = np.zeros((height, width), np.uint8)
    cv2.ellipse(canvas, ((x, y), (2 * abs(across), 2 * abs(down)), turned), 1, cv2.FILLED)
    return canvas > 0


def _floats(values: Iterable[str | int]) -> list[float]:
    """Convert to floats and check that all are finite."""
    found = [float(value) for value in values]
    if not np.isfinite(found).all():
        raise ValueError("numbers")
    return found
