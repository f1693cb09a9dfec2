"""Heat maps as pictures: colours of values, enlarged patches, and a marked patch."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from cliptrase_core.io.geometry import Size, nearest
from cliptrase_core.viz.overlay import blend, in_grey

_VIRIDIS = cv2.applyColorMap(np.arange(256, dtype=np.uint8), cv2.COLORMAP_VIRIDIS).reshape(256, 3)
HEAT_TABLE: npt.NDArray[np.uint8] = np.ascontiguousarray(_VIRIDIS[:, ::-1], np.uint8)  # OpenCV: blue, green, red
"""(256, 3) viridis, as in matplotlib: evenly from dark to bright, readable without red-green vision."""

HEAT_STOPS = tuple(f"#{bytes(colour).hex()}" for colour in HEAT_TABLE[::5])
"""Heat colours from lowest to highest, in CSS notation; CSS interpolation between them is exact within 1 of 255."""

# Blue for less, orange for more, pale for no change: distinguishable without red-green vision.
_SIGNED_ANCHORS = np.array(
    [(33, 102, 172), (128, 177, 211), (247, 247, 247), (253, 184, 99), (179, 88, 6)],
    dtype=np.float64,
)
SIGNED_STOPS = tuple("#{:02x}{:02x}{:02x}".format(*(int(value) for value in anchor)) for anchor in _SIGNED_ANCHORS)
"""Colours of a difference from most negative to most positive, with 0 in the middle, in CSS notation."""

_PLACES = np.linspace(0, len(_SIGNED_ANCHORS) - 1, 255)
SIGNED_TABLE: npt.NDArray[np.uint8] = np.rint(
    np.stack([np.interp(_PLACES, range(len(_SIGNED_ANCHORS)), channel) for channel in _SIGNED_ANCHORS.T], axis=1)
).astype(np.uint8)
"""(255, 3), colours of a difference; an odd number, so that the middle colour means no change."""

MARK = (255, 0, 0)

MOST = 4.0
"""Multiple of uniform (1/N) at which the colours of a shared scale end; see docs/decisions/014-one-scale.md."""

HEAT_OPACITY = 0.75
"""Opacity of a map over its picture."""


def heat_range(values: npt.NDArray[np.floating], patch: tuple[int, int]) -> tuple[float, float]:
    """Return the lowest and highest value of a map without the chosen patch, which is always most similar to itself.

    Args:
        values: (h, w).
        patch: (row, column) of the chosen patch.
    """
    others = np.delete(values.ravel(), patch[0] * values.shape[1] + patch[1])
    return (float(others.min()), float(others.max())) if others.size else (0.0, 0.0)


def heat_colours(values: npt.NDArray[np.floating], low: float, high: float) -> npt.NDArray[np.uint8]:
    """Convert values to colours: darkest at `low` and below, brightest at `high` and above; a flat map is dark.

    Args:
        values: (h, w).
        low: value of the first colour.
        high: value of the last colour.

    Returns:
        (h, w, 3).
    """
    return _colours(HEAT_TABLE, (np.asarray(values, dtype=np.float64) - low) / ((high - low) or 1.0))


def signed_colours(values: npt.NDArray[np.floating], most: float) -> npt.NDArray[np.uint8]:
    """Convert differences to colours: 0 in the middle, `-most` and below, `most` and above at the ends.

    Args:
        values: (h, w).
        most: largest absolute difference of the scale, positive.

    Returns:
        (h, w, 3).
    """
    return _colours(SIGNED_TABLE, (np.asarray(values, dtype=np.float64) / most + 1) / 2)


def _colours(table: npt.NDArray[np.uint8], place: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """Return the colours at places from 0 (first) to 1 (last), clipped; with equal steps, as in matplotlib."""
    return table.take((place * len(table)).clip(0, len(table) - 1).astype(np.uint8), axis=0)


def over_picture(picture: npt.NDArray[np.uint8], colours: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Blend the colours of patches over the picture in grey.

    Args:
        picture: (H, W, 3), covers the whole grid.
        colours: (h, w, 3) in the grid frame.

    Returns:
        (H, W, 3).
    """
    return blend(in_grey(picture), nearest(colours, (picture.shape[0], picture.shape[1])), HEAT_OPACITY)


def mark_patch(picture: npt.NDArray[np.uint8], grid: Size, row: int, column: int) -> npt.NDArray[np.uint8]:
    """Outline one patch in red.

    Args:
        picture: (H, W, 3), covers the whole grid.
        grid: (h, w).
        row: row of the patch, from 0.
        column: column of the patch, from 0.

    Returns:
        (H, W, 3), a copy.
    """
    height, width = picture.shape[:2]
    # In `nearest`, a row gets the pixels whose centres lie in it: (y + 1/2) * h / H >= row, here in integers.
    top, bottom = ((2 * edge * height + grid[0] - 1) // (2 * grid[0]) for edge in (row, row + 1))
    left, right = ((2 * edge * width + grid[1] - 1) // (2 * grid[1]) for edge in (column, column + 1))
    line = max(1, min(height, width) // 160)
    marked: npt.NDArray[np.uint8] = picture.copy()
    inside = marked[top + line : bottom - line, left + line : right - line].copy()
    marked[top:bottom, left:right] = MARK
    marked[top + line : bottom - line, left + line : right - line] = inside
    return marked


def frames_said(patch: tuple[int, int] | None, global_patches: int) -> str:
    """Explain the frames of the patch and of global patches over a map; empty without frames.

    Args:
        patch: patch whose attention is drawn, or None.
        global_patches: number of global patches.
    """
    red = [] if patch is None else ["red frame: the patch"]
    return " \u00b7 ".join(red + ["white frames: global patches"] * (global_patches > 0))
