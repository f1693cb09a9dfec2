"""Which pixels of a picture are meant: bright on a dark picture in grey, for eyes that colours do not tell apart."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from demo import core
from demo.figures import views

MARKED = (240, 228, 66)
"""Yellow: far from dark grey in lightness, which nobody's eyes mix up."""
DIMMED = 0.55
"""How far the picture goes towards black."""

Mask = npt.NDArray[np.bool_]


def marked(picture: views.Picture, where: Mask, left_out: Mask | None = None) -> views.Picture:
    """A picture in dark grey with some pixels marked.

    Args:
        picture: (H, W, 3).
        where: (h, w), pixels to mark, at any size of the same shape.
        left_out: (h, w), pixels that do not count: black.

    Returns:
        (H, W, 3).
    """

    size, drawn = picture.shape[:2], core.viz.overlay
    out = drawn.darken(drawn.in_grey(picture), DIMMED)
    marks = drawn.blend(out, np.full_like(out, MARKED), 0.85)
    drawn.put(out, marks, core.io.geometry.nearest(where, size))
    if left_out is not None:
        out[core.io.geometry.nearest(left_out, size)] = 0
    return out
