"""Regions of patches over a picture. Pure functions on numpy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from demo import core
from demo.figures import views

NOISE_LINE, NOISE_GROUND = (90, 90, 90), (208, 208, 208)
"""Colours of the hatching that noise patches get; the page's legend shows the same."""


def region_map(
    picture: views.Picture,
    clusters: npt.NDArray[np.int64],
    colours: views.Picture,
    changed: npt.NDArray[np.bool_],
    chosen: int | None = None,
) -> views.Picture:
    """Each region in its colour over the picture in grey, noise hatched, changed patches dotted.

    Args:
        picture: (h*cell, w*cell, 3), the model input.
        clusters: (h, w), region of each patch, -1 = noise.
        colours: (K, 3) uint8 for regions 0..K-1; further rows are not used.
        changed: (h, w), patches that get a dot.
        chosen: region that gets a red outline; -1 outlines the noise.

    Returns:
        (h*cell, w*cell, 3).
    """
    side = picture.shape[0] // clusters.shape[0]
    wide, drawn = core.io.geometry.nearest(clusters, picture.shape[:2]), core.viz.overlay
    out = drawn.blend(drawn.in_grey(picture), _painted(wide, colours), 0.72)
    out[drawn.edges(wide)] = 30
    _dot(out, changed, side)
    if chosen is not None and (clusters == chosen).any():
        inside = wide == chosen
        width = max(2, side // 10)
        out[drawn.edges(inside, width + 2)] = 255
        out[drawn.edges(inside, width)] = views.MARK
    return out


def _painted(wide: npt.NDArray[np.integer], colours: views.Picture) -> views.Picture:
    rows, columns = np.ogrid[: wide.shape[0], : wide.shape[1]]
    lines = (rows + columns) % 10 < 3
    out: views.Picture = colours.take(wide, axis=0, mode="clip")
    out[(wide < 0) & lines], out[(wide < 0) & ~lines] = NOISE_LINE, NOISE_GROUND
    return out


def _dot(picture: views.Picture, cells: npt.NDArray[np.bool_], side: int) -> None:
    """Draw a white dot with a dark rim into the middle of each cell."""
    place = np.arange(side) - (side - 1) / 2
    away = np.hypot(place[:, None], place[None, :])  # (side, side)
    for radius, level in ((0.22 * side, 0), (0.14 * side, 255)):
        picture[np.kron(cells, away <= max(radius, 1)).astype(bool)] = level
