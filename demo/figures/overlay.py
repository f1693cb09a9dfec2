"""Classes over a picture: filled, as contours, or hatched for eyes that colours do not tell apart."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from demo.figures import views

Labels = npt.NDArray[np.int32]

STYLES = ("fill", "contour", "hatch")
LINE_PERIOD = 12
"""Pixels from one hatching line to the next."""
_WAYS = ((1, 1), (1, -1), (1, 0), (0, 1), (2, 1), (1, 2), (2, -1), (1, -2))
"""Directions (dy, dx) of hatching: each class takes the next, so neighbours in the legend differ."""


def overlay(
    picture: views.Picture, labels: Labels, colours: views.Picture, style: str, opacity: float
) -> views.Picture:
    """A picture with its classes laid over it.

    Args:
        picture: (H, W, 3).
        labels: (H, W), 0..C-1.
        colours: (C, 3) uint8, one for each label.
        style: one of `STYLES`.
        opacity: 0 shows the picture alone, 1 the classes alone.

    Returns:
        (H, W, 3).
    """
    painted = colours[labels]
    if style == "fill":
        return views.blend(picture, painted, opacity)
    if style == "hatch":
        lines = _hatching(labels)
        out = views.blend(picture, painted, 0.45 * opacity)
        out[lines] = views.blend(out[lines], painted[lines], opacity)
        return _with_edges(out, labels, painted, opacity, 1)
    # The root: a line covers so little that it may be stronger than an area.
    return _with_edges(picture.copy(), labels, painted, opacity**0.5, max(2, max(labels.shape) // 300))


def edges(labels: Labels, width: int = 1) -> npt.NDArray[np.bool_]:
    """(H, W), pixels within `width` of a pixel with another label."""
    out = np.zeros(labels.shape, dtype=bool)
    for _ in range(width):
        grown = out.copy()
        grown[1:] |= (labels[1:] != labels[:-1]) | out[:-1]
        grown[:-1] |= (labels[1:] != labels[:-1]) | out[1:]
        grown[:, 1:] |= (labels[:, 1:] != labels[:, :-1]) | out[:, :-1]
        grown[:, :-1] |= (labels[:, 1:] != labels[:, :-1]) | out[:, 1:]
        out = grown
    return out


def _with_edges(
    picture: views.Picture, labels: Labels, painted: views.Picture, opacity: float, width: int
) -> views.Picture:
    """Outlines in the classes' colours inside a dark line, which parts them from a picture of the same colour."""
    wide, narrow = edges(labels, width + 1), edges(labels, width)
    picture[wide] = views.blend(picture[wide], np.zeros_like(painted[wide]), opacity)
    picture[narrow] = views.blend(picture[narrow], painted[narrow], opacity)
    return picture


def _hatching(labels: Labels) -> npt.NDArray[np.bool_]:
    """(H, W), pixels that lie on a line of their class's direction."""
    rows, columns = np.ogrid[: labels.shape[0], : labels.shape[1]]
    ways = np.array(_WAYS)[labels % len(_WAYS)]
    phase: npt.NDArray[np.int64] = ways[..., 0] * columns + ways[..., 1] * rows
    return phase % LINE_PERIOD < 4
