"""Heat maps of patches over a picture. Pure functions on numpy."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from PIL import Image

from demo.figures import views

GLOBAL_MARK = (255, 255, 255)


def heat_map(
    picture: views.Picture,
    values: npt.NDArray[np.floating],
    patch: views.Cell,
    global_patches: Iterable[views.Cell] = (),
) -> views.Picture:
    """A map over the picture in grey; the chosen patch outlined in red, global patches in white.

    Args:
        picture: (h*cell, w*cell, 3), what the model saw.
        values: (h, w).
        patch: (row, column) that looks.
        global_patches: (row, column) of each.

    Returns:
        (h*cell, w*cell, 3).
    """
    from cliptrase_core.heatmap import heat_colours, heat_range  # late: the page is drawn before torch is there

    side = picture.shape[0] // values.shape[0]
    low, high = heat_range(values, patch)
    colours = heat_colours(values, low, high).repeat(side, axis=0).repeat(side, axis=1)
    grey = np.asarray(Image.fromarray(picture).convert("L"))[..., None].repeat(3, axis=-1)
    out = views.blend(grey, colours, 0.75)
    for cell in global_patches:
        views.outline(out, cell, side, GLOBAL_MARK, width=max(1, side // 16))
    return views.mark(out, patch, side)
