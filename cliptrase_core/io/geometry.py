"""Geometry between frames: original picture, model input, patch grid.

Three frames: *original* (the person's picture), *model* (what the ViT is given), *grid* (patches).
"""

from __future__ import annotations

import numbers
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from cliptrase_core.cancel import steps
from cliptrase_core.errors import InputError, explain

Size = tuple[int, int]
"""(height, width)"""

Values = TypeVar("Values", bound=np.generic)

STRIP_PIXELS = 500_000
"""Pixels that are worked on at once where a whole photograph would take hundreds of megabytes."""

MAX_ASPECT = 4.0
"""A picture longer than this many short sides is shrunk until it fits: N stays bounded for a 1 x 5000 strip."""

LONGEST_SIDE = 65_535
"""Longest side in pixels (JPEG's own limit): what a strip needs grows with its length."""

MAX_RESIZED = 40_000_000
"""Pixels of a picture that is resized before its centre is cut out."""

MAX_PATCHES = 16_384
"""Largest grid that is accepted: its affinity takes 1 GiB in float32."""


@dataclass(frozen=True)
class Frame:
    """How one picture was laid out for the model.

    Attributes:
        original: size of the picture as it was given.
        resized: size after resizing, before the crop.
        model: size of what the ViT sees, a whole number of patches.
        crop: (top, left) of the model frame within the resized picture; (0, 0) when nothing was cut.
        patch: size of one patch in model pixels.
        labels: size of the frame in which labels are given.
    """

    original: Size
    resized: Size
    model: Size
    crop: tuple[int, int]
    patch: Size
    labels: Size

    @property
    def grid(self) -> Size:
        """(h, w) in patches."""
        return self.model[0] // self.patch[0], self.model[1] // self.patch[1]


def keep_aspect_frame(original: Size, short_side: int, patch: Size) -> Frame:
    """Lay out the whole picture: short side near `short_side`, both sides whole patches, at least one each.

    Raises:
        InputError: the grid would have more than `MAX_PATCHES` patches.
    """
    check_short_side(short_side, patch)
    scale = min(short_side / min(original), MAX_ASPECT * short_side / max(original))
    height, width = (max(1, round(side * scale / step)) * step for side, step in zip(original, patch, strict=True))
    if max(original) > LONGEST_SIDE:
        raise InputError(
            explain(
                "picture",
                expected=f"at most {LONGEST_SIDE} pixels a side",
                got=f"{original[0]} x {original[1]}",
                remedy="Cut it into components.",
            )
        )
    return _checked(Frame(original, (height, width), (height, width), (0, 0), patch, labels=original))


def centre_crop_frame(original: Size, side: int, patch: Size) -> Frame:
    """Lay out the published way: short side to `side`, then a centre crop, labelled as it was cropped.

    The long side and the crop's corner are rounded as torchvision's `Resize` and `CenterCrop` do.

    Raises:
        InputError: `side` is no whole number of patches, or the grid would be too large.
    """
    check_short_side(side, patch)
    if side % patch[0] or side % patch[1]:
        raise InputError(
            explain(
                "short side",
                expected=f"a multiple of the patch size {patch}",
                got=str(side),
                remedy="Choose another preset or short side for this model.",
            )
        )
    height, width = original
    resized = (side, int(side * width / height)) if height <= width else (int(side * height / width), side)
    if resized[0] * resized[1] > MAX_RESIZED:
        raise InputError(
            explain(
                "picture",
                expected=f"at most {MAX_RESIZED} pixels once its short side is {side}",
                got=f"{resized[0]} x {resized[1]}",
                remedy="Use preset auto for long strips.",
            )
        )
    crop = (round((resized[0] - side) / 2.0), round((resized[1] - side) / 2.0))
    return _checked(Frame(original, resized, (side, side), crop, patch, labels=(side, side)))


def check_short_side(short_side: int, patch: Size) -> None:
    """Raise InputError unless `short_side` holds at least one patch."""
    whole = isinstance(short_side, numbers.Integral) and not isinstance(short_side, bool)
    if not whole or not max(patch) <= short_side <= LONGEST_SIDE:
        raise InputError(
            explain(
                "short side",
                expected=f"a whole number of pixels, at least one patch ({max(patch)})",
                got=repr(short_side),
                remedy="224 or 336 suit most models.",
            )
        )


def expect_place(what: str, row: Any, column: Any, size: Size, remedy: str) -> None:
    """Raise InputError unless row and column are whole numbers within a grid or a map of (h, w).

    Args:
        what: a message calls the place so.
        row: from 0.
        column: from 0.
        size: (h, w).
        remedy: what to do about it.
    """
    if not all(_is_index(place, length) for place, length in zip((row, column), size, strict=True)):
        expected = f"row 0 to {size[0] - 1} and column 0 to {size[1] - 1}"
        raise InputError(explain(what, expected=expected, got=f"row {row!r} and column {column!r}", remedy=remedy))


def _is_index(value: Any, length: int) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and 0 <= int(value) < length


def fitted(size: Size, longest: int) -> Size:
    """The same shape with a long side of `longest` pixels, at least 1 x 1."""
    return max(1, round(size[0] * longest / max(size))), max(1, round(size[1] * longest / max(size)))


def nearest(values: npt.NDArray[Values], size: Size) -> npt.NDArray[Values]:
    """A map or picture at another size, each pixel taken from where its centre lies: for what cannot be mixed.

    The one way by which labels, numbers and patches change their size; other rules than pixel centres shift a map
    by up to half a pixel of the smaller one.

    Args:
        values: (H, W) or (H, W, ...).
        size: (H', W') that is wanted.

    Returns:
        (H', W', ...), `values` itself where nothing changes.
    """
    if values.shape[:2] == tuple(size):
        return values
    # Whole numbers, so that no centre is lost to rounding: floor((i + 1/2) * source / target).
    rows, columns = (
        (2 * np.arange(target) + 1) * source // (2 * target)
        for target, source in zip(size, values.shape[:2], strict=True)
    )
    # Rows last where there are more of them then: a row is copied as a whole, a column value by value.
    first, then = ((rows, 0), (columns, 1)) if size[0] < values.shape[0] else ((columns, 1), (rows, 0))
    picked: npt.NDArray[Values] = values.take(*first).take(*then)
    return picked


def strips(size: tuple[int, ...]) -> Iterator[slice]:
    """Rows of a map of (H, W), few enough that what is made of them on the way stays small, and in the cache."""
    rows_at_once = max(1, STRIP_PIXELS // size[1])
    return (slice(start, min(start + rows_at_once, size[0])) for start in steps(range(0, size[0], rows_at_once)))


def given_size(size: Any, default: Size) -> Size:
    """(H, W) that somebody asks for, or the default where that is None.

    Raises:
        InputError: not two whole numbers from 1 to `LONGEST_SIDE`.
    """
    if size is None:
        return default
    sides = size if isinstance(size, (tuple, list)) and len(size) == 2 else ()
    whole = [isinstance(side, numbers.Integral) and not isinstance(side, bool) for side in sides]
    if not sides or not all(whole) or not all(1 <= side <= LONGEST_SIDE for side in sides):
        raise InputError(
            explain(
                "size",
                expected=f"(height, width) in whole pixels, 1 to {LONGEST_SIDE}",
                got=repr(size)[:80],
                remedy="Leave it out for the size of the picture.",
            )
        )
    return int(sides[0]), int(sides[1])


def patch_at(row: float, column: float, shown: Size, grid: Size) -> tuple[int, int]:
    """Patch (row, column) under a point of a shown picture that covers the whole model frame.

    Args:
        row: vertical position in pixels of the shown picture.
        column: horizontal position in pixels of the shown picture.
        shown: size of the shown picture.
        grid: (h, w) in patches.
    """
    h, w = grid
    # Clamped: a click on the last pixel can round to one past the edge.
    return (
        min(max(int(row * h / shown[0]), 0), h - 1),
        min(max(int(column * w / shown[1]), 0), w - 1),
    )


def _checked(frame: Frame) -> Frame:
    h, w = frame.grid
    if h * w > MAX_PATCHES:
        raise InputError(
            explain(
                "picture",
                expected=f"at most {MAX_PATCHES} patches",
                got=f"{h * w} ({h} x {w})",
                remedy="Choose a smaller short side.",
            )
        )
    return frame
