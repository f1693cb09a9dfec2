"""Where boundaries were and where they are, over a picture in grey; components by number. Pure functions on numpy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from demo import core
from demo.figures import views

SAME, BEFORE, AFTER = (255, 255, 255), (230, 130, 0), (90, 220, 255)
"""White, orange and light blue: told apart by lightness too; the page's key shows the same."""
DARK = 0.45
DASH = 7
"""Pixels of a dash: the old boundary is dashed, for eyes that colours do not tell apart."""

Labels = npt.NDArray[np.int32]
Numbered = Sequence[tuple[int, tuple[int, int]]]


def outlined(picture: views.Picture, labels: Labels, colours: views.Picture, opacity: float) -> views.Picture:
    """Classes over a picture with their boundaries drawn, (H, W, 3).

    Args:
        picture: (H, W, 3).
        labels: (H, W), 0..C-1.
        colours: (C, 3) uint8.
        opacity: of the classes.
    """
    drawn = core.viz.overlay
    out: views.Picture = drawn.lay_over(picture, labels, colours, "fill", opacity)
    out[drawn.edges(labels, 2)] = 20
    out[drawn.edges(labels, 1)] = 255
    return out


def boundaries(picture: views.Picture, before: Labels, after: Labels, components: Numbered = ()) -> views.Picture:
    """Boundaries that stayed in white, those that went dashed in orange, new ones in light blue.

    Args:
        picture: (H, W, 3).
        before: (H, W), labels.
        after: (H, W), labels.
        components: (number, (x, y) in pixels of the picture) of what is to be pointed at.

    Returns:
        (H', W', 3) with a long side that can be looked at.
    """

    size, drawn = views.shown_size(picture.shape[:2]), core.viz.overlay
    shown = picture if size == picture.shape[:2] else views.view(picture, size)
    out = drawn.darken(drawn.in_grey(shown), DARK)
    width = max(1, max(size) // 700)
    old, new = (drawn.edges(core.io.geometry.nearest(labels, size), width) for labels in (before, after))
    rows, columns = np.ogrid[: size[0], : size[1]]
    dashes: npt.NDArray[np.bool_] = (rows + columns) // (DASH * width) % 2 == 0
    out[old & dashes] = BEFORE
    out[new] = AFTER
    out[old & new] = SAME
    scale, height = size[0] / picture.shape[0], max(size) / 45
    marks = [(str(number), (x * scale, y * scale), height) for number, (x, y) in components]
    return core.viz.names.write(out, marks)
