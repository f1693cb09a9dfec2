"""Heat maps of patches over a picture. Pure functions on numpy."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from demo import core
from demo.figures import views

GLOBAL_MARK = (255, 255, 255)
GLOBAL_EDGE = (40, 40, 40)
Range = tuple[float, float]


def heat_map(
    picture: views.Picture,
    values: npt.NDArray[np.floating],
    patch: views.Cell | None,
    global_patches: Iterable[views.Cell] = (),
    ends: Range | None = None,
) -> views.Picture:
    """A map over the picture in grey; the chosen patch outlined in red, global patches in white.

    Args:
        picture: (h*cell, w*cell, 3), the model input.
        values: (h, w).
        patch: (row, column) that looks; None where no patch does.
        global_patches: (row, column) of each.
        ends: values of the first and the last colour; None takes the map's own range.

    Returns:
        (h*cell, w*cell, 3).
    """

    low, high = own_range(values, patch) if ends is None else ends
    return _over(picture, core.viz.heatmap.heat_colours(values, low, high), patch, global_patches)


def difference_map(
    picture: views.Picture,
    values: npt.NDArray[np.floating],
    most: float,
    patch: views.Cell | None,
    global_patches: Iterable[views.Cell] = (),
) -> views.Picture:
    """Signed values over the picture in grey: blue for less, orange for more; the rest as in `heat_map`."""

    return _over(picture, core.viz.heatmap.signed_colours(values, most), patch, global_patches)


def matrix_picture(colours: views.Picture) -> views.Picture:
    """A matrix's colours at a size that can be looked at, each entry a square of whole pixels."""
    side = max(1, views.INSPECT_SIDE // len(colours))
    return core.viz.heatmap.enlarge(colours, (colours.shape[0] * side, colours.shape[1] * side))


def own_range(values: npt.NDArray[np.floating], patch: views.Cell | None) -> Range:
    """Lowest and highest value, the chosen patch left out: it may resemble itself far more than the rest does."""

    return core.viz.heatmap.heat_range(values, patch) if patch else (float(values.min()), float(values.max()))


def _over(
    picture: views.Picture, colours: views.Picture, patch: views.Cell | None, global_patches: Iterable[views.Cell]
) -> views.Picture:
    side = picture.shape[0] // colours.shape[0]
    out = core.viz.heatmap.over_picture(picture, colours)
    thin = max(1, side // 16)
    for cell in global_patches:
        views.outline(out, cell, side, GLOBAL_EDGE, width=2 * thin)  # a dark edge: white alone is lost on pale colours
        views.outline(out, cell, side, GLOBAL_MARK, width=thin)
    return views.mark(out, patch, side) if patch else out
