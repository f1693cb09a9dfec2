"""Views of a picture at other sizes, grids and marks on it. Pure functions on numpy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from demo import core

Picture = npt.NDArray[np.uint8]
Size = tuple[int, int]
Cell = tuple[int, int]
Box = tuple[float, float, float, float]
PatchSize = tuple[float, float]

SHORTEST_SHOWN, LONGEST_SHOWN = 640, 1280
"""Long side of a shown picture: small ones are enlarged here because Gradio never enlarges."""
INSPECT_SIDE = 768
"""Long side of the picture with the patch grid, about: cells must be large enough to hit."""

MARK = (230, 0, 30)


def shown_size(size: Size) -> Size:
    """Size at which a picture of `size` is shown: same shape, long side within the limits."""
    return core.io.geometry.fitted(size, min(max(max(size), SHORTEST_SHOWN), LONGEST_SHOWN))


def cell_side(grid: Size) -> int:
    """Pixels of a patch in the inspected picture."""
    return max(4, INSPECT_SIDE // max(grid))


def view(pixels: Picture, size: Size, box: Box | None = None) -> Picture:
    """Part of a picture at another size.

    Args:
        pixels: (H, W, 3).
        size: of the result.
        box: (left, top, right, bottom) in `pixels`; None takes all.

    Returns:
        (*size, 3).
    """
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    # reducing_gap keeps a 40-megapixel photograph from costing a second.
    scaled = picture.resize((size[1], size[0]), Image.Resampling.BICUBIC, box=box, reducing_gap=2.0)
    return np.asarray(scaled)


def with_grid(picture: Picture, side: int) -> Picture:
    """The picture with faint lines between patches of `side` pixels."""
    return with_lines(picture, side, side)


def with_lines(picture: Picture, tall: int, wide: int) -> Picture:
    """The picture with faint lines between cells of (tall, wide) pixels."""
    out = picture.copy()
    for lines in (out[tall::tall], out[:, wide::wide]):
        lines[:] = (lines.astype(np.uint16) * 5 + 255 * 3) // 8
    return out


def mark(picture: Picture, patch: Cell, side: int) -> Picture:
    """The picture with one patch outlined in red, with a white edge that parts it from any colour."""
    out = picture.copy()
    width = max(2, side // 8)
    outline(out, patch, side, (255, 255, 255), width + max(1, width // 2))
    outline(out, patch, side, MARK, width)
    return out


def outline(picture: Picture, patch: Cell, side: int, colour: tuple[int, int, int], width: int) -> None:
    """Draw a frame into a picture, along the inside of one patch."""
    top, left = patch[0] * side, patch[1] * side
    cell = picture[top : top + side, left : left + side]  # a view: writing changes the picture
    width = min(width, side // 2)
    for edge in (cell[:width], cell[-width:], cell[:, :width], cell[:, -width:]):
        edge[:] = colour
