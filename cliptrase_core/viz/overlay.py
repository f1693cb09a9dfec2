"""Overlays of class colours on pictures: blending, boundaries, three styles. Computed by OpenCV."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from cliptrase_core.canvas import expect_frame
from cliptrase_core.errors import InputError, is_number, is_truth
from cliptrase_core.io.geometry import strips
from cliptrase_core.names import OPACITY
from cliptrase_core.results import Segmentation
from cliptrase_core.viz.names import checked_font, draw_names
from cliptrase_core.viz.palette import label_colours

Picture = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.integer]

STYLES = ("fill", "contour", "hatch")
"""Filled areas, outlines, or hatching for people who cannot distinguish the colours."""

_PERIOD, _LINE = 12, 4
"""Distance between the lines of a hatching, and width of a line, in pixels."""
_WAYS = np.array([(1, 1), (1, -1), (1, 0), (0, 1), (2, 1), (1, 2), (2, -1), (1, -2)])
"""Directions (dy, dx) of hatching; each class takes the next one, so that neighbours in the legend differ."""
_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))


def overlay(
    image: Picture,
    result: Segmentation,
    opacity: float = OPACITY,
    *,
    style: str = "fill",
    grey: bool = False,
    names: bool = False,
    font: str | None = None,
) -> Picture:
    """Draw the colours of the classes over the picture.

    Args:
        image: (H, W, 3), in the frame of `result.labels`.
        result: result to draw.
        opacity: 0 shows the picture alone, 1 the colours alone.
        style: one of `STYLES`.
        grey: True converts the picture to grey, so that only classes have colours.
        names: True writes each class name into its components, see `names.draw_names`.
        font: path of a font file for the names; None uses the bundled font.

    Returns:
        (H, W, 3).

    Raises:
        InputError: a picture of another size or type, no such style or font, also without names, an opacity out of
            range, or another value than true or false.
    """
    for what, value in (("grey", grey), ("names", names)):
        if not is_truth(value):
            remedy = "Leave it out for the default (false)."
            raise InputError(what, expected="true or false", got=repr(value)[:80], remedy=remedy)
    font = checked_font(font)
    pixels = np.asarray(image)
    expect_frame(pixels, result.size)
    below = in_grey(pixels) if grey else pixels
    out = lay_over(below, result.small_labels, label_colours(result), style, opacity)
    return draw_names(out, result.labels, result.class_names, font=font) if names else out


def lay_over(
    picture: Picture, labels: Labels, colours: Picture, style: str = "fill", opacity: float = OPACITY
) -> Picture:
    """Draw the colours of any label map over a picture, as in `overlay`.

    Args:
        picture: (H, W, 3).
        labels: (H, W), index into `colours`; -1 selects the last.
        colours: (C, 3) uint8.
        style: one of `STYLES`.
        opacity: 0 to 1.

    Returns:
        (H, W, 3), never `picture` itself.

    Raises:
        InputError: no such style, or an opacity out of range.
    """
    if not is_number(opacity) or not 0.0 <= opacity <= 1.0:
        raise InputError("opacity", expected="0 to 1", got=repr(opacity), remedy=f"{OPACITY} suits most pictures.")
    if style == "fill":
        return _filled(picture, labels, colours, opacity)
    if style == "contour":
        # The square root increases the opacity: a line covers little of the picture.
        width = max(2, max(labels.shape) // 300)
        return _outlined(picture, labels, coloured(labels, colours), opacity**0.5, width)
    if style == "hatch":
        painted = coloured(labels, colours)
        out = blend(picture, painted, 0.45 * opacity)
        put(out, blend(out, painted, opacity), _hatching(labels))
        return _outlined(out, labels, painted, opacity, 1)
    raise InputError("style", expected="one of " + ", ".join(STYLES), got=repr(style), remedy="fill is the usual one.")


def blend(picture: Picture, colours: Picture, opacity: float) -> Picture:
    """Blend `colours` over `picture`, both (H, W, 3): 0 shows the picture alone, 1 the colours alone."""
    return np.asarray(cv2.addWeighted(picture, 1 - opacity, colours, opacity, 0), np.uint8)


def darken(picture: Picture, share: float) -> Picture:
    """Darken a picture by a share: 0 changes nothing, 1 gives black."""
    return np.asarray(cv2.convertScaleAbs(picture, alpha=1 - share), np.uint8)


def in_grey(picture: Picture) -> Picture:
    """Convert a picture to grey, still (H, W, 3)."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), np.uint8)


def put(picture: Picture, other: Picture, where: npt.NDArray[np.bool_]) -> None:
    """Copy pixels of `other`, (H, W, 3), into `picture` in place, at the (H, W) mask `where`."""
    cv2.copyTo(other, where.view(np.uint8), picture)


def coloured(labels: Labels, colours: Picture) -> Picture:
    """Return (H, W, 3), the colour of each label; -1 selects the last colour."""
    if len(colours) > 255:
        return colours.take(labels, axis=0)
    table = np.empty((256, 1, 3), np.uint8)
    table[: len(colours), 0], table[255] = colours, colours[-1]
    index = labels.astype(np.uint8, copy=False)  # -1 becomes 255
    return np.asarray(cv2.LUT(cv2.merge([index, index, index]), table), np.uint8)


def edges(labels: Labels, width: int = 1) -> npt.NDArray[np.bool_]:
    """Return the pixels near a boundary.

    Args:
        labels: (H, W).
        width: distance in horizontal and vertical steps.

    Returns:
        (H, W) bool, pixels within `width` of a pixel with another label.
    """
    values = labels.astype(np.float32)  # exact up to 16 million labels; OpenCV does not support int32 here
    out = np.not_equal(cv2.dilate(values, _CROSS), cv2.erode(values, _CROSS))
    if width > 1:
        out = np.asarray(cv2.dilate(out.view(np.uint8), _CROSS, iterations=width - 1), np.uint8).view(np.bool_)
    return out


def _filled(picture: Picture, labels: Labels, colours: Picture, opacity: float) -> Picture:
    out = np.empty_like(picture)
    for rows in strips(labels.shape):  # the colours of a whole photograph would take as much memory as it
        out[rows] = blend(picture[rows], coloured(labels[rows], colours), opacity)
    return out


def _outlined(picture: Picture, labels: Labels, painted: Picture, opacity: float, width: int) -> Picture:
    """Draw outlines in the classes' colours with a dark border, which separates them from similar picture colours."""
    out: Picture = picture.copy()
    put(out, darken(picture, opacity), edges(labels, width + 1))
    put(out, blend(out, painted, opacity), edges(labels, width))
    return out


def _hatching(labels: Labels) -> npt.NDArray[np.bool_]:
    """Return (H, W) bool, pixels on a hatching line of their class."""
    place = np.arange(_PERIOD)
    # Every direction repeats after one period in x and y: (8, period, period) contains the whole pattern.
    phase = _WAYS[:, 0, None, None] * place + _WAYS[:, 1, None, None] * place[:, None]
    lines = phase % _PERIOD < _LINE
    rows, columns = np.ogrid[: labels.shape[0], : labels.shape[1]]
    cell = (labels % len(_WAYS)) * np.int32(_PERIOD**2)
    cell += (rows % _PERIOD * _PERIOD + columns % _PERIOD).astype(cell.dtype)
    found: npt.NDArray[np.bool_] = lines.reshape(-1).take(cell)
    return found
