"""Text on pictures: class names in their components, numbers at points. The default font is matplotlib's DejaVu Sans.

That font has Latin, Greek, Cyrillic, Arabic, Armenian, Georgian and more, but no Chinese, Japanese, Korean or
emoji. A name that the font cannot write is replaced by its number and never drawn as boxes.
"""

from __future__ import annotations

import math
import os
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont, features

from cliptrase_core.errors import InputError, one_line
from cliptrase_core.io.geometry import Size, fitted, nearest
from cliptrase_core.io.masks import connected_parts

Picture = npt.NDArray[np.uint8]
Mark = tuple[str, tuple[float, float], float]
"""Text, (x, y) of its centre in pixels, height of its letters in pixels."""

SMALLEST = 0.004
"""Minimum area of a component with a name, as a share of the picture."""
LONGEST = 28
"""Most letters of a name; a longer name ends with an ellipsis."""
SIZES = (1.0, 0.75, 0.55)
"""Letter heights to try one after another, as shares of 1/40 of the picture's long side."""
LEAST_SIZE = 9
"""Minimum letter height in pixels; smaller letters are not readable."""
CORE = 0.6
"""Share of a name's width that must lie within its component."""
TURNING = frozenset(("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"))
"""Bidirectional classes of invisible characters that change the text direction; no script needs them in a name."""
_PLACED_AT = 640
"""Long side, in pixels, of the reduced map on which the positions of names are computed."""


def draw_names(
    picture: Picture,
    labels: npt.NDArray[np.integer],
    names: Sequence[str],
    *,
    font: str | None = None,
) -> Picture:
    """Write each class's name into its components, at the innermost point where it fits.

    Names do not overlap and are white with a dark rim. A name that fits in no size is not written. A name that the font
    cannot write is replaced by its number, the value of its pixels in `labels`.

    Args:
        picture: (H, W, 3).
        labels: (h, w), at any size with the same aspect ratio, index into `names`; -1 gets no name.
        names: class names.
        font: path of a TrueType or OpenType file; None uses the bundled font.

    Returns:
        (H, W, 3), a copy.

    Raises:
        InputError: no such font.
    """
    font = checked_font(font)
    return write(picture, list(name_marks((picture.shape[0], picture.shape[1]), labels, names, font=font)), font=font)


def write(picture: Picture, marks: Iterable[Mark], *, font: str | None = None) -> Picture:
    """Write texts at points, white with a dark rim; texts that would leave the picture are moved inside.

    Args:
        picture: (H, W, 3).
        marks: text, (x, y) of its centre, and height of its letters, in pixels.
        font: as in `draw_names`.

    Returns:
        (H, W, 3), a copy.
    """
    image = Image.fromarray(picture)  # a copy
    draw = ImageDraw.Draw(image)
    for text, middle, height in marks:
        wide, tall = text_size(text, height, font)
        x, y = (
            min(max(at, side / 2), max(length - side / 2, side / 2))
            for at, side, length in zip(middle, (wide, tall), image.size, strict=True)
        )
        rim = _rim(height)
        draw.text((x, y), text, "white", _font(font, height), "mm", stroke_width=rim, stroke_fill="black")
    return np.array(image)


def written(draw: ImageDraw.ImageDraw, place: tuple[float, float], text: str, height: float) -> None:
    """Draw a text in black, without a rim, with its upper left corner at (x, y)."""
    draw.text(place, text, "black", _font(None, height), "la")


def text_size(text: str, height: float, font: str | None = None) -> tuple[int, int]:
    """Return (width, height) in pixels of a text as `write` draws it, with the rim."""
    left, top, right, bottom = _font(font, height).getbbox(text, anchor="mm", stroke_width=_rim(height))
    return math.ceil(right - left), math.ceil(bottom - top)


def shown_name(name: str, instead: object, font: str | None = None) -> str:
    """Return the text to draw for a name: on one line and shortened; `instead` if the font lacks a letter."""
    line = one_line(name)
    if len(line) > LONGEST:
        line = line[: LONGEST - 1].rstrip() + "…"
    return line if line and readable(line, font) else str(instead)


def readable(text: str, font: str | None = None) -> bool:
    """Return whether the font has every letter, and joining or right-to-left letters can be laid out."""
    if any(unicodedata.bidirectional(letter) in TURNING for letter in text):
        return False  # it would be drawn as another name
    plain = features.check("raqm") or all(unicodedata.bidirectional(letter) not in {"R", "AL"} for letter in text)
    return plain and all(_has(letter, font) for letter in text)


def name_marks(
    size: Size, labels: npt.NDArray[np.integer], names: Sequence[str], *, font: str | None = None
) -> Iterator[Mark]:
    """Compute texts, positions and sizes of the names that `draw_names` writes.

    Args:
        size: (H, W) of the picture.
        labels: as in `draw_names`.
        names: class names.
        font: path of a font file; None uses DejaVu Sans.
    """
    small = nearest(labels, fitted(size, min(max(size), _PLACED_AT)))
    scale = size[0] / small.shape[0]
    taken = np.zeros(small.shape, np.uint8)
    for label, mask in _components(small):
        text = shown_name(names[label], label, font)
        depth = cv2.distanceTransform(np.pad(mask, 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
        for share in SIZES:
            height = max(LEAST_SIZE, share * max(size) / 40)
            wide, tall = (math.ceil(side / scale) for side in text_size(text, height, font))
            # The core of the text must lie within its component, and the whole text must not overlap another.
            depth_there = depth * _middles(mask, math.ceil(CORE * wide), tall) * _middles(1 - taken, wide, tall)
            if depth_there.any():
                y, x = divmod(int(depth_there.argmax()), small.shape[1])
                taken[y - tall // 2 : y + tall // 2 + 1, x - wide // 2 : x + wide // 2 + 1] = 1
                yield text, ((x + 0.5) * scale, (y + 0.5) * scale), height
                break


def _components(labels: npt.NDArray[np.integer]) -> Iterator[tuple[int, npt.NDArray[np.uint8]]]:
    """Return label and (h, w) mask of each component that is large enough, largest first."""
    found = []
    for label in np.unique(labels[labels >= 0]).tolist():
        of_label = (labels == label).astype(np.uint8)
        for part, left, top in connected_parts(of_label, SMALLEST * labels.size):
            mask = np.zeros_like(of_label)
            mask[top : top + part.shape[0], left : left + part.shape[1]] = part
            found.append((int(part.sum()), label, mask))
    found.sort(key=lambda one: (-one[0], one[1], int(one[2].argmax())))
    return ((label, mask) for _, label, mask in found)


def _middles(room: npt.NDArray[np.uint8], wide: int, tall: int) -> npt.NDArray[np.uint8]:
    """Return (h, w) with 1 at the centre of each box, with odd sides, that lies completely within the mask `room`."""
    box = np.ones((tall | 1, wide | 1), np.uint8)
    return np.asarray(cv2.erode(room, box, borderType=cv2.BORDER_CONSTANT, borderValue=0), np.uint8)


def checked_font(font: str | os.PathLike[str] | None) -> str | None:
    """Return the path of a font file as a text, or None for the bundled one.

    Raises:
        InputError: no such font.
    """
    if font is None:
        return None
    if not isinstance(font, (str, os.PathLike)):
        raise _no_font(repr(font)[:80])
    _font(path := os.fsdecode(font), LEAST_SIZE)
    return path


def _no_font(got: str) -> InputError:
    remedy = "Leave it out for the bundled one (part of matplotlib)."
    return InputError("font", expected="a TrueType or OpenType file", got=got, remedy=remedy)


def _rim(height: float) -> int:
    return max(1, round(height / 10))


@lru_cache(maxsize=64)
def _font(path: str | None, height: float) -> ImageFont.FreeTypeFont:
    if path is None:
        # Locate matplotlib without importing it: drawing a name must not import a plotting library.
        spec = find_spec("matplotlib")
        places = (spec and spec.submodule_search_locations) or [""]
        path = str(Path(places[0], "mpl-data", "fonts", "ttf", "DejaVuSans.ttf"))
    try:
        return ImageFont.truetype(path, height)
    except (OSError, ValueError, TypeError) as error:
        raise _no_font(repr(Path(path).name)) from error


@lru_cache(maxsize=4096)
def _has(letter: str, path: str | None) -> bool:
    """Return whether a font has a letter; a missing letter is drawn like a code point that no script uses."""
    if letter == " " or unicodedata.category(letter) in {"Cc", "Cs", "Co", "Cn"}:  # not printable, or a space
        return letter == " "
    font = _font(path, 20)
    return bytes(font.getmask(letter)) != bytes(font.getmask("\uffff"))
