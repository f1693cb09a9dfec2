"""Geometry between frames: original picture, model input, patch grid.

Three frames: *original* (the user's picture), *model* (input of the ViT), *grid* (patches).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from cliptrase_core.cancel import steps
from cliptrase_core.errors import InputError, is_whole

Size = tuple[int, int]
"""(height, width)"""

Whole = npt.NDArray[np.int64]
Values = TypeVar("Values", bound=np.generic)

STRIP_PIXELS = 500_000
"""Pixels processed at a time where a whole photograph would take hundreds of megabytes."""

MAX_ASPECT = 4.0
"""Limit of the long side in multiples of `short_side`; longer pictures are shrunk: it bounds N for a 1 x 5000 strip."""

LONGEST_SIDE = 65_500
"""Longest side in pixels (the limit of libjpeg): the cost of a strip grows with its length."""

MAX_RESIZED = 40_000_000
"""Largest number of pixels of a resized picture before its centre crop."""

MAX_PATCHES = 16_384
"""Largest number of patches that is accepted: their affinity takes 1 GiB in float32."""


@dataclass(frozen=True)
class Frame:
    """Layout of one picture for the model.

    Attributes:
        original: size of the original picture.
        resized: size after resizing, before the crop.
        model: size of the model input, a whole number of patches.
        crop: (top, left) of the model frame within the resized picture; (0, 0) without a crop.
        patch: size of one patch in model pixels.
        labels: size of the frame of the labels.
    """

    original: Size
    resized: Size
    model: Size
    crop: tuple[int, int]
    patch: Size
    labels: Size

    @property
    def grid(self) -> Size:
        """Size of the grid, (h, w) in patches."""
        return self.model[0] // self.patch[0], self.model[1] // self.patch[1]


def keep_aspect_frame(original: Size, short_side: int, patch: Size) -> Frame:
    """Lay out the whole picture: short side near `short_side`, both sides a whole number of patches, at least one.

    Raises:
        InputError: the grid would have more than `MAX_PATCHES` patches.
    """
    check_short_side(short_side, patch)
    scale = min(short_side / min(original), MAX_ASPECT * short_side / max(original))
    height, width = (max(1, round(side * scale / step)) * step for side, step in zip(original, patch, strict=True))
    if max(original) > LONGEST_SIDE:
        raise InputError(
            "picture",
            expected=f"at most {LONGEST_SIDE} pixels a side",
            got=f"{original[0]} x {original[1]}",
            remedy="Split it into smaller pictures.",
        )
    return _checked(Frame(original, (height, width), (height, width), (0, 0), patch, labels=original))


def centre_crop_frame(original: Size, side: int, patch: Size) -> Frame:
    """Lay out a picture as published: resize the short side to `side`, then crop the centre; labels cover the crop.

    The long side and the crop's corner are rounded as torchvision's `Resize` and `CenterCrop` do.

    Raises:
        InputError: `side` is not a whole number of patches, or the grid would be too large.
    """
    check_short_side(side, patch)
    if side % patch[0] or side % patch[1]:
        raise InputError(
            "short side",
            expected=f"a multiple of the patch size {patch}",
            got=str(side),
            remedy="Choose another preset or short side for this model.",
        )
    height, width = original
    resized = (side, int(side * width / height)) if height <= width else (int(side * height / width), side)
    if resized[0] * resized[1] > MAX_RESIZED:
        raise InputError(
            "picture",
            expected=f"at most {MAX_RESIZED} pixels once its short side is {side}",
            got=f"{resized[0]} x {resized[1]}",
            remedy="Use preset auto for long strips.",
        )
    crop = (round((resized[0] - side) / 2.0), round((resized[1] - side) / 2.0))
    return _checked(Frame(original, resized, (side, side), crop, patch, labels=(side, side)))


def check_short_side(short_side: int, patch: Size) -> None:
    """Raise InputError unless `short_side` is a whole number of pixels, from one patch to `LONGEST_SIDE`."""
    if not is_whole(short_side) or not max(patch) <= short_side <= LONGEST_SIDE:
        raise InputError(
            "short side",
            expected=f"a whole number of pixels from {max(patch)} (one patch) to {LONGEST_SIDE}",
            got=repr(short_side),
            remedy="224 or 336 suit most models.",
        )


def expect_place(what: str, row: Any, column: Any, size: Size, remedy: str) -> None:
    """Raise InputError unless row and column are whole numbers within a grid or a map of (h, w).

    Args:
        what: name of the place, for the message.
        row: row, from 0.
        column: column, from 0.
        size: (h, w) of the grid or map.
        remedy: advice at the end of the message.
    """
    if not all(_is_index(place, length) for place, length in zip((row, column), size, strict=True)):
        expected = f"row 0 to {size[0] - 1} and column 0 to {size[1] - 1}"
        raise InputError(what, expected=expected, got=f"row {row!r} and column {column!r}", remedy=remedy)


def _is_index(value: Any, length: int) -> bool:
    return is_whole(value) and 0 <= int(value) < length


def fitted(size: Size, longest: int) -> Size:
    """Return a size of the same aspect ratio with a long side of `longest` pixels, at least 1 x 1."""
    return max(1, round(size[0] * longest / max(size))), max(1, round(size[1] * longest / max(size)))


def nearest(values: npt.NDArray[Values], size: Size) -> npt.NDArray[Values]:
    """Resize a map or picture to the nearest neighbour of each pixel centre, for values that cannot be mixed.

    Labels, numbers and patches are resized by this function; only the ground truth of the paper's protocol follows
    PIL's rule, as the published script does. Other rules than pixel centres shift a map by up to half a pixel of the
    smaller one.

    Args:
        values: (H, W) or (H, W, ...).
        size: new size (H', W').

    Returns:
        (H', W', ...); `values` itself if the size does not change.
    """
    if values.shape[:2] == tuple(size):
        return values
    # Whole numbers, so that no centre is rounded wrongly: floor((i + 1/2) * source / target).
    rows, columns = (
        (2 * np.arange(target) + 1) * source // (2 * target)
        for target, source in zip(size, values.shape[:2], strict=True)
    )
    # Rows last unless there are fewer of them afterwards: a row is copied as a whole, a column value by value.
    first, then = ((rows, 0), (columns, 1)) if size[0] < values.shape[0] else ((columns, 1), (rows, 0))
    picked: npt.NDArray[Values] = values.take(*first).take(*then)
    return picked


def between_samples(source: int, target: int, at: slice) -> tuple[Whole, Whole, npt.NDArray[np.float32]]:
    """Return from which samples the centres of a longer or shorter side are interpolated (align_corners=False).

    Args:
        source: number of samples along the side.
        target: number of centres along the side.
        at: which of the centres.

    Returns:
        Index of the sample before each centre, of the one after it, and the weight of the second; edges are repeated.
    """
    # In float64, because float32 cannot represent the positions of the 40 million columns of a strip.
    position = np.maximum((np.arange(at.start, at.stop) + 0.5) * (source / target) - 0.5, 0)
    before = np.minimum(position.astype(np.int64), source - 1)
    return before, np.minimum(before + 1, source - 1), (position - before).astype(np.float32)


def strips(size: tuple[int, ...]) -> Iterator[slice]:
    """Yield slices of rows of a map (H, W), so few that intermediate arrays stay small and in the CPU's cache."""
    rows_at_once = max(1, STRIP_PIXELS // size[1])
    return (slice(start, min(start + rows_at_once, size[0])) for start in steps(range(0, size[0], rows_at_once)))


def given_size(size: Any, default: Size) -> Size:
    """Return the requested size (H, W), or the default if it is None.

    Raises:
        InputError: not two whole numbers from 1 to `LONGEST_SIDE`.
    """
    if size is None:
        return default
    sides = size if isinstance(size, (tuple, list)) and len(size) == 2 else ()
    if not sides or not all(map(is_whole, sides)) or not all(1 <= side <= LONGEST_SIDE for side in sides):
        raise InputError(
            "size",
            expected=f"(height, width) in whole pixels, 1 to {LONGEST_SIDE}",
            got=repr(size)[:80],
            remedy="Leave it out for the size of the picture.",
        )
    return int(sides[0]), int(sides[1])


def patch_at(row: float, column: float, shown: Size, grid: Size) -> tuple[int, int]:
    """Return the patch (row, column) under a point of a shown picture that covers the whole model frame.

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
            "picture",
            expected=f"at most {MAX_PATCHES} patches",
            got=f"{h * w} ({h} x {w})",
            remedy="Choose a smaller short side.",
        )
    return frame
