"""Heat maps as pictures, with no plotting library: values to colours, patches to squares, one patch marked."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cliptrase_core.io.geometry import Size, nearest

# Dark to bright at an even pace of lightness, readable without red-green vision: viridis at nine points.
_ANCHORS = np.array(
    [
        (68, 1, 84),
        (71, 44, 122),
        (59, 81, 139),
        (44, 113, 142),
        (33, 144, 141),
        (39, 173, 129),
        (92, 200, 99),
        (170, 220, 50),
        (253, 231, 37),
    ],
    dtype=np.float64,
)
HEAT_STOPS = tuple("#{:02x}{:02x}{:02x}".format(*(int(value) for value in anchor)) for anchor in _ANCHORS)
"""The heat colours from lowest to highest, as CSS writes them."""

# Blue for less, orange for more, pale for no change: told apart without red-green vision.
_SIGNED_ANCHORS = np.array(
    [(33, 102, 172), (128, 177, 211), (247, 247, 247), (253, 184, 99), (179, 88, 6)],
    dtype=np.float64,
)
SIGNED_STOPS = tuple("#{:02x}{:02x}{:02x}".format(*(int(value) for value in anchor)) for anchor in _SIGNED_ANCHORS)
"""The colours of a difference from most negative to most positive, 0 in the middle, as CSS writes them."""

MARK = (255, 0, 0)


def heat_range(values: npt.NDArray[np.floating], patch: tuple[int, int]) -> tuple[float, float]:
    """Lowest and highest value of a map without the chosen patch, which always resembles itself most.

    Args:
        values: (h, w).
        patch: (row, column) of the chosen patch.
    """
    others = np.delete(values.ravel(), patch[0] * values.shape[1] + patch[1])
    return (float(others.min()), float(others.max())) if others.size else (0.0, 0.0)


def heat_colours(values: npt.NDArray[np.floating], low: float, high: float) -> npt.NDArray[np.uint8]:
    """Colours of values: `low` and below darkest, `high` and above brightest; a flat map is dark.

    Args:
        values: (h, w).
        low: value of the first colour.
        high: value of the last colour.

    Returns:
        (h, w, 3).
    """
    place = (np.asarray(values, dtype=np.float64) - low) / ((high - low) or 1.0)
    return _between(_ANCHORS, place)


def signed_colours(values: npt.NDArray[np.floating], most: float) -> npt.NDArray[np.uint8]:
    """Colours of differences: 0 in the middle, `-most` and below, `most` and above at the ends.

    Args:
        values: (h, w).
        most: positive.

    Returns:
        (h, w, 3).
    """
    return _between(_SIGNED_ANCHORS, (np.asarray(values, dtype=np.float64) / most + 1) / 2)


def _between(anchors: npt.NDArray[np.float64], place: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """Colours at places from 0 (first anchor) to 1 (last), and the nearest end outside."""
    place = place.clip(0.0, 1.0) * (len(anchors) - 1)
    steps = np.arange(len(anchors))
    channels = [np.interp(place, steps, anchors[:, channel]) for channel in range(3)]
    colours: npt.NDArray[np.uint8] = np.rint(np.stack(channels, axis=-1)).astype(np.uint8)
    return colours


def enlarge(colours: npt.NDArray[np.uint8], size: Size) -> npt.NDArray[np.uint8]:
    """Blow every patch up to a rectangle, edges kept sharp.

    Args:
        colours: (h, w, 3) in the grid frame.
        size: (H, W) wanted.

    Returns:
        (H, W, 3).
    """
    return nearest(colours, size)


def mark_patch(picture: npt.NDArray[np.uint8], grid: Size, row: int, column: int) -> npt.NDArray[np.uint8]:
    """Outline one patch in red.

    Args:
        picture: (H, W, 3) that covers the whole grid.
        grid: (h, w).
        row: of the patch, from 0.
        column: of the patch, from 0.

    Returns:
        (H, W, 3), a copy.
    """
    height, width = picture.shape[:2]
    # `enlarge` gives a row the pixels whose centres lie in it: (y + 1/2) * h / H >= row, as whole numbers.
    top, bottom = ((2 * edge * height + grid[0] - 1) // (2 * grid[0]) for edge in (row, row + 1))
    left, right = ((2 * edge * width + grid[1] - 1) // (2 * grid[1]) for edge in (column, column + 1))
    line = max(1, min(height, width) // 160)
    marked: npt.NDArray[np.uint8] = picture.copy()
    inside = marked[top + line : bottom - line, left + line : right - line].copy()
    marked[top:bottom, left:right] = MARK
    marked[top + line : bottom - line, left + line : right - line] = inside
    return marked
