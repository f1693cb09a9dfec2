"""Arrays become pictures: views, grids, heat maps, regions, boundaries, data URLs. Pure functions; no Gradio."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

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


def model_pixels(pixels: Picture, patch: Size) -> Picture:
    """What a model is given, each of its pixels a square of whole screen pixels, with lines between patches.

    Args:
        pixels: (H, W, 3) in the model frame.
        patch: (height, width) of a patch in these pixels.

    Returns:
        (H*k, W*k, 3), k the largest that keeps the long side within `views.INSPECT_SIDE`, at least 1.
    """
    times = max(1, INSPECT_SIDE // max(pixels.shape[:2]))
    out = core.viz.heatmap.enlarge(pixels, (pixels.shape[0] * times, pixels.shape[1] * times))
    return with_lines(out, patch[0] * times, patch[1] * times)


GLOBAL_MARK = (255, 255, 255)
GLOBAL_EDGE = (40, 40, 40)
Range = tuple[float, float]


def heat_map(
    picture: Picture,
    values: npt.NDArray[np.floating],
    patch: Cell | None,
    global_patches: Iterable[Cell] = (),
    ends: Range | None = None,
) -> Picture:
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
    picture: Picture,
    values: npt.NDArray[np.floating],
    most: float,
    patch: Cell | None,
    global_patches: Iterable[Cell] = (),
) -> Picture:
    """Signed values over the picture in grey: blue for less, orange for more; the rest as in `heat_map`."""

    return _over(picture, core.viz.heatmap.signed_colours(values, most), patch, global_patches)


def matrix_picture(colours: Picture) -> Picture:
    """A matrix's colours at a size that can be looked at, each entry a square of whole pixels."""
    side = max(1, INSPECT_SIDE // len(colours))
    return core.viz.heatmap.enlarge(colours, (colours.shape[0] * side, colours.shape[1] * side))


def own_range(values: npt.NDArray[np.floating], patch: Cell | None) -> Range:
    """Lowest and highest value, the chosen patch left out: it may resemble itself far more than the rest does."""

    return core.viz.heatmap.heat_range(values, patch) if patch else (float(values.min()), float(values.max()))


def _over(picture: Picture, colours: Picture, patch: Cell | None, global_patches: Iterable[Cell]) -> Picture:
    side = picture.shape[0] // colours.shape[0]
    out = core.viz.heatmap.over_picture(picture, colours)
    thin = max(1, side // 16)
    for cell in global_patches:
        outline(out, cell, side, GLOBAL_EDGE, width=2 * thin)  # a dark edge: white alone is lost on pale colours
        outline(out, cell, side, GLOBAL_MARK, width=thin)
    return mark(out, patch, side) if patch else out


NOISE_LINE, NOISE_GROUND = (90, 90, 90), (208, 208, 208)
"""Colours of the hatching that noise patches get; the page's legend shows the same."""


def region_map(
    picture: Picture,
    clusters: npt.NDArray[np.int64],
    colours: Picture,
    changed: npt.NDArray[np.bool_],
    chosen: int | None = None,
) -> Picture:
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
        out[drawn.edges(inside, width)] = MARK
    return out


def _painted(wide: npt.NDArray[np.integer], colours: Picture) -> Picture:
    rows, columns = np.ogrid[: wide.shape[0], : wide.shape[1]]
    lines = (rows + columns) % 10 < 3
    out: Picture = colours.take(wide, axis=0, mode="clip")
    out[(wide < 0) & lines], out[(wide < 0) & ~lines] = NOISE_LINE, NOISE_GROUND
    return out


def _dot(picture: Picture, cells: npt.NDArray[np.bool_], side: int) -> None:
    """Draw a white dot with a dark rim into the middle of each cell."""
    place = np.arange(side) - (side - 1) / 2
    away = np.hypot(place[:, None], place[None, :])  # (side, side)
    for radius, level in ((0.22 * side, 0), (0.14 * side, 255)):
        picture[np.kron(cells, away <= max(radius, 1)).astype(bool)] = level


SAME, BEFORE, AFTER = (255, 255, 255), (230, 130, 0), (90, 220, 255)
"""White, orange and light blue: told apart by lightness too; the page's key shows the same."""
DARK = 0.45
DASH = 7
"""Pixels of a dash: the old boundary is dashed, for eyes that colours do not tell apart."""

Labels = npt.NDArray[np.int32]
Numbered = Sequence[tuple[int, tuple[int, int]]]


def outlined(picture: Picture, labels: Labels, colours: Picture, opacity: float) -> Picture:
    """Classes over a picture with their boundaries drawn, (H, W, 3).

    Args:
        picture: (H, W, 3).
        labels: (H, W), 0..C-1.
        colours: (C, 3) uint8.
        opacity: of the classes.
    """
    drawn = core.viz.overlay
    out: Picture = drawn.lay_over(picture, labels, colours, "fill", opacity)
    out[drawn.edges(labels, 2)] = 20
    out[drawn.edges(labels, 1)] = 255
    return out


def boundaries(picture: Picture, before: Labels, after: Labels, components: Numbered = ()) -> Picture:
    """Boundaries that stayed in white, those that went dashed in orange, new ones in light blue.

    Args:
        picture: (H, W, 3).
        before: (H, W), labels.
        after: (H, W), labels.
        components: (number, (x, y) in pixels of the picture) of what is to be pointed at.

    Returns:
        (H', W', 3) with a long side that can be looked at.
    """

    size, drawn = shown_size(picture.shape[:2]), core.viz.overlay
    shown = picture if size == picture.shape[:2] else view(picture, size)
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


MARKED = (240, 228, 66)
"""Yellow: far from dark grey in lightness, which nobody's eyes mix up."""
DIMMED = 0.55
"""How far the picture goes towards black."""

Mask = npt.NDArray[np.bool_]


def marked(picture: Picture, where: Mask, left_out: Mask | None = None) -> Picture:
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


PICTURE_QUALITY = 88
THUMBNAIL = (184, 128)
"""(width, height) of an example in the strip: twice its size on the page, for sharp screens."""
QUEUED = (144, 108)
"""(width, height) of a picture in the queue, half as large again as on the page."""
LABEL_COMPRESSION = 1
"""Of a PNG: label maps are large areas, so that little effort is enough."""


def picture_url(picture: Picture, quality: int = PICTURE_QUALITY) -> str:
    """A picture (H, W, 3) as a JPEG in a data URL."""
    return _url(picture, "JPEG", quality=quality)


@lru_cache(maxsize=64)
def thumbnail(path: Path) -> str:
    """A bundled picture, small, in a data URL."""
    with Image.open(path) as file:
        file.draft("RGB", (2 * THUMBNAIL[0], 2 * THUMBNAIL[1]))
        return _url(np.asarray(ImageOps.fit(file.convert("RGB"), THUMBNAIL)), "JPEG", quality=80)


def small_url(pixels: Picture) -> str:
    """A picture (H, W, 3) as a thumbnail in a data URL."""
    return _url(np.asarray(ImageOps.fit(Image.fromarray(pixels), QUEUED)), "JPEG", quality=70)


def small_overlay_url(pixels: Picture, labels: npt.NDArray[np.int32], colours: Picture) -> str:
    """Classes over a picture (H, W, 3) as a thumbnail in a data URL; made small first, whatever its size.

    Args:
        pixels: (H, W, 3).
        labels: (H, W), 0..C-1.
        colours: (C, 3) uint8.
    """
    size = core.io.geometry.fitted(labels.shape, 2 * max(QUEUED))
    return small_url(core.viz.overlay.lay_over(view(pixels, size), core.io.geometry.nearest(labels, size), colours))


def labels_url(labels: npt.NDArray[np.int32]) -> str:
    """Labels (H, W) as a PNG in a data URL: red holds the low byte, green the high one."""
    coded = np.zeros((*labels.shape, 3), dtype=np.uint8)
    coded[..., 0], coded[..., 1] = labels & 255, labels >> 8
    return _url(coded, "PNG", compress_level=LABEL_COMPRESSION)


def spots_code(probabilities: npt.NDArray[np.float32]) -> str:
    """The two likeliest classes of every patch, for the browser.

    Args:
        probabilities: (C, h, w), adding to 1 over classes.

    Returns:
        base64 of (h*w, 4) int16, little-endian: class, its probability in thousandths, the next class and its own;
        -1 where there is one class only. The two never add to more than 1000.
    """
    flat = probabilities.reshape(len(probabilities), -1)
    columns = np.arange(flat.shape[1])
    first = flat.argmax(axis=0)
    spots = np.full((flat.shape[1], 4), -1, dtype="<i2")
    spots[:, 0], spots[:, 1] = first, np.rint(1000 * flat[first, columns])
    if len(flat) > 1:
        rest = flat.copy()
        rest[first, columns] = -1
        second = rest.argmax(axis=0)
        spots[:, 2] = second
        spots[:, 3] = np.minimum(np.rint(1000 * flat[second, columns]), 1000 - spots[:, 1])
    return base64.b64encode(spots.tobytes()).decode("ascii")


def _url(pixels: Picture, encoding: str, **options: Any) -> str:
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, encoding, **options)
    return f"data:image/{encoding.lower()};base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
