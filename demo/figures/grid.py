"""The model's own pixels, large enough to be seen, with its patches. Pure functions on numpy."""

from __future__ import annotations

from demo import core
from demo.figures import views


def model_pixels(pixels: views.Picture, patch: views.Size) -> views.Picture:
    """What a model is given, each of its pixels a square of whole screen pixels, with lines between patches.

    Args:
        pixels: (H, W, 3) in the model frame.
        patch: (height, width) of a patch in these pixels.

    Returns:
        (H*k, W*k, 3), k the largest that keeps the long side within `views.INSPECT_SIDE`, at least 1.
    """
    times = max(1, views.INSPECT_SIDE // max(pixels.shape[:2]))
    out = core.viz.heatmap.enlarge(pixels, (pixels.shape[0] * times, pixels.shape[1] * times))
    return views.with_lines(out, patch[0] * times, patch[1] * times)
