"""Heat maps as pictures, with no plotting library: values to colours, patches to squares, one patch marked."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cliptrase_core.geometry import Size

# Dark blue to yellow with lightness rising evenly, so that order survives grey print and colour blindness.
_ANCHORS = np.array(
    [(20, 11, 52), (80, 18, 123), (152, 45, 128), (211, 67, 110), (248, 118, 92), (254, 187, 129), (252, 253, 191)]
)
MARK = (255, 0, 0)


def heat_colours(values: npt.NDArray[np.floating], low: float, high: float) -> npt.NDArray[np.uint8]:
    """Colour each value on the scale from `low` (dark) to `high` (light); a flat scale is all dark.

    Args:
        values: (h, w).
        low: value of the darkest colour.
        high: value of the lightest colour.

    Returns:
        (h, w, 3).
    """
    share = np.clip((values - low) / (high - low), 0, 1) if high > low else np.zeros_like(values)
    steps = np.linspace(0, 1, len(_ANCHORS))
    channels = [np.interp(share, steps, _ANCHORS[:, channel]) for channel in range(3)]
    colours: npt.NDArray[np.uint8] = np.stack(channels, axis=-1).round().astype(np.uint8)
    return colours


def enlarge(colours: npt.NDArray[np.uint8], size: Size) -> npt.NDArray[np.uint8]:
    """Blow every patch up to a rectangle, edges kept sharp.

    Args:
        colours: (h, w, 3) in the grid frame.
        size: (H, W) wanted.

    Returns:
        (H, W, 3).
    """
    rows = np.arange(size[0]) * colours.shape[0] // size[0]
    columns = np.arange(size[1]) * colours.shape[1] // size[1]
    picture: npt.NDArray[np.uint8] = colours[rows[:, None], columns[None]]
    return picture


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
    # ceil, because `enlarge` gives pixel y to row y * h // H
    top, bottom = (-(-edge * height // grid[0]) for edge in (row, row + 1))
    left, right = (-(-edge * width // grid[1]) for edge in (column, column + 1))
    line = max(1, min(height, width) // 160)
    marked: npt.NDArray[np.uint8] = picture.copy()
    inside = marked[top + line : bottom - line, left + line : right - line].copy()
    marked[top:bottom, left:right] = MARK
    marked[top + line : bottom - line, left + line : right - line] = inside
    return marked
