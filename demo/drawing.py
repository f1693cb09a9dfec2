"""Pictures made from arrays: views, grids, heat maps, regions, boundaries, data URLs. Pure functions; no Gradio."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

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
"""Limits of the long side of a shown picture, in pixels; small pictures are enlarged here because Gradio does not."""
INSPECT_SIDE = 768
"""Approximate long side of the picture with the patch grid, in pixels: cells must be large enough to click."""

MARK = (230, 0, 30)


def shown_size(size: Size) -> Size:
    """Return the size at which a picture of `size` is shown: same aspect ratio, long side within the limits."""
    return core.io.geometry.fitted(size, min(max(max(size), SHORTEST_SHOWN), LONGEST_SHOWN))


def cell_side(grid: Size) -> int:
    """Return the side of a patch in the picture with the patch grid, in pixels."""
    return max(4, INSPECT_SIDE // max(grid))


def view(pixels: Picture, size: Size, box: Box | None = None) -> Picture:
    """Return a picture, or part of it, at another size.

    Args:
        pixels: (H, W, 3).
        size: (height, width) of the result.
        box: (left, top, right, bottom) in `pixels`; None for the whole picture.

    Returns:
        (*size, 3).
    """
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    # Without reducing_gap, a 40-megapixel photograph takes a second.
    scaled = picture.resize((size[1], size[0]), Image.Resampling.BICUBIC, box=box, reducing_gap=2.0)
    return np.asarray(scaled)


def with_lines(picture: Picture, tall: int, wide: int) -> Picture:
    """Return the picture with faint lines between cells of (tall, wide) pixels."""
    out = picture.copy()
    for lines in (out[tall::tall], out[:, wide::wide]):
        lines[:] = (lines.astype(np.uint16) * 5 + 255 * 3) // 8
    return out


def mark(picture: Picture, patch: Cell, side: int) -> Picture:
    """Return the picture with one patch outlined in red; a white edge separates the outline from any colour."""
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
    """Return the model input enlarged by a whole factor, with lines between patches.

    Args:
        pixels: (H, W, 3) in the model frame.
        patch: (height, width) of a patch in these pixels.

    Returns:
        (H*k, W*k, 3), k the largest factor that keeps the long side within `INSPECT_SIDE`, at least 1.
    """
    times = max(1, INSPECT_SIDE // max(pixels.shape[:2]))
    out = core.io.geometry.nearest(pixels, (pixels.shape[0] * times, pixels.shape[1] * times))
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
    """Return a map over the picture in grey; the chosen patch is outlined in red, global patches in white.

    Args:
        picture: (h*cell, w*cell, 3), the model input.
        values: (h, w).
        patch: (row, column) of the chosen patch; None for none.
        global_patches: (row, column) of each.
        ends: values of the first and the last colour; None for the range of the map.

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
    """Return signed values over the picture in grey: blue for less, orange for more; otherwise as `heat_map`."""
    return _over(picture, core.viz.heatmap.signed_colours(values, most), patch, global_patches)


def matrix_picture(colours: Picture) -> Picture:
    """Return the colours of a matrix enlarged for display, each entry a square of whole pixels."""
    side = max(1, INSPECT_SIDE // len(colours))
    return core.io.geometry.nearest(colours, (colours.shape[0] * side, colours.shape[1] * side))


def own_range(values: npt.NDArray[np.floating], patch: Cell | None) -> Range:
    """Return the lowest and highest value without the chosen patch, as its similarity to itself may be far larger."""
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
"""Colours of the hatching of noise patches; the page's legend uses the same."""


def region_map(
    picture: Picture,
    clusters: npt.NDArray[np.int64],
    colours: Picture,
    changed: npt.NDArray[np.bool_],
    chosen: int | None = None,
) -> Picture:
    """Return the clusters in colour over the picture in grey, noise hatched, changed patches dotted.

    Args:
        picture: (h*cell, w*cell, 3), the model input.
        clusters: (h, w), cluster of each patch, -1 = noise.
        colours: (K, 3) uint8 for clusters 0..K-1; further rows are not used.
        changed: (h, w), True for patches that get a dot.
        chosen: cluster that gets a red outline; -1 outlines the noise, None nothing.

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


def numbered(picture: Picture, clusters: npt.NDArray[np.int64]) -> Picture:
    """Write the number of each cluster (h, w) into its larger parts; noise has none."""
    numbers = [str(number) for number in range(int(clusters.max(initial=0)) + 1)]
    written: Picture = core.viz.names.draw_names(picture, clusters, numbers)
    return written


def _painted(wide: npt.NDArray[np.integer], colours: Picture) -> Picture:
    rows, columns = np.ogrid[: wide.shape[0], : wide.shape[1]]
    lines = (rows + columns) % 10 < 3
    out: Picture = colours.take(wide, axis=0, mode="clip")
    out[(wide < 0) & lines], out[(wide < 0) & ~lines] = NOISE_LINE, NOISE_GROUND
    return out


def _dot(picture: Picture, cells: npt.NDArray[np.bool_], side: int) -> None:
    """Draw a white dot with a dark rim in the middle of each cell that is True."""
    place = np.arange(side) - (side - 1) / 2
    away = np.hypot(place[:, None], place[None, :])  # (side, side)
    for radius, level in ((0.22 * side, 0), (0.14 * side, 255)):
        picture[np.kron(cells, away <= max(radius, 1)).astype(bool)] = level


SAME, BEFORE, AFTER = (255, 255, 255), (230, 130, 0), (90, 220, 255)
"""White, orange and light blue, which also differ in lightness; the page's legend uses the same."""
DARK = 0.45
DASH = 7
"""Length of a dash in pixels: the old boundary is dashed, for readers who cannot distinguish the colours."""

Labels = npt.NDArray[np.int32]
Numbered = Sequence[tuple[int, tuple[int, int]]]


def outlined(picture: Picture, labels: Labels, colours: Picture, opacity: float) -> Picture:
    """Return classes over a picture with their boundaries drawn, (H, W, 3).

    Args:
        picture: (H, W, 3).
        labels: (H, W), 0..C-1.
        colours: (C, 3) uint8.
        opacity: opacity of the classes, 0 to 1.
    """
    drawn = core.viz.overlay
    out: Picture = drawn.lay_over(picture, labels, colours, "fill", opacity)
    out[drawn.edges(labels, 2)] = 20
    out[drawn.edges(labels, 1)] = 255
    return out


def boundaries(picture: Picture, before: Labels, after: Labels, components: Numbered = ()) -> Picture:
    """Draw unchanged boundaries in white, removed ones dashed in orange, and new ones in light blue.

    Args:
        picture: (H, W, 3).
        before: (H, W), labels before the change.
        after: (H, W), labels after the change.
        components: (number, (x, y) in pixels of the picture) of components to mark.

    Returns:
        (H', W', 3) at the size of `shown_size`.
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
"""Yellow: differs from dark grey in lightness, so that all readers can distinguish them."""
DIMMED = 0.55
"""Degree of darkening of the picture: 0 leaves it unchanged, 1 makes it black."""

Mask = npt.NDArray[np.bool_]


def marked(picture: Picture, where: Mask, left_out: Mask | None = None) -> Picture:
    """Return a picture in dark grey with some pixels marked.

    Args:
        picture: (H, W, 3).
        where: (h, w), True for pixels to mark; any size of the same aspect ratio.
        left_out: (h, w), True for pixels that do not count; these become black.

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
"""(width, height) of an example in the strip: twice its size on the page, for high-resolution screens."""
QUEUED = (144, 108)
"""(width, height) of a picture in the queue: 1.5 times its size on the page."""


def picture_url(picture: Picture, quality: int = PICTURE_QUALITY) -> str:
    """Return a picture (H, W, 3) as a JPEG in a data URL."""
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(file, "JPEG", quality=quality)
    return _url(file.getvalue(), "jpeg")


@lru_cache(maxsize=64)
def thumbnail(path: Path) -> str:
    """Return a thumbnail of a bundled picture in a data URL."""
    with Image.open(path) as file:
        file.draft("RGB", (2 * THUMBNAIL[0], 2 * THUMBNAIL[1]))
        return picture_url(np.asarray(ImageOps.fit(file.convert("RGB"), THUMBNAIL)), quality=80)


def small_url(pixels: Picture) -> str:
    """Return a thumbnail of a picture (H, W, 3) in a data URL."""
    return picture_url(np.asarray(ImageOps.fit(Image.fromarray(pixels), QUEUED)), quality=70)


def small_overlay_url(pixels: Picture, labels: npt.NDArray[np.int32], colours: Picture) -> str:
    """Return a thumbnail of classes over a picture (H, W, 3) in a data URL; the picture is reduced first.

    Args:
        pixels: (H, W, 3).
        labels: (H, W), 0..C-1.
        colours: (C, 3) uint8.
    """
    size = core.io.geometry.fitted(labels.shape, 2 * max(QUEUED))
    return small_url(core.viz.overlay.lay_over(view(pixels, size), core.io.geometry.nearest(labels, size), colours))


def labels_url(labels: npt.NDArray[np.int32]) -> str:
    """Return labels (H, W) as a PNG in a data URL: red holds the low byte, green the high one."""
    coded = np.zeros((*labels.shape, 3), dtype=np.uint8)
    coded[..., 0], coded[..., 1] = labels & 255, labels >> 8
    return _url(core.io.png.encode_png(coded), "png")


def spots_code(probabilities: npt.NDArray[np.float32]) -> str:
    """Encode the two likeliest classes of every patch for the browser.

    Args:
        probabilities: (C, h, w), sum 1 over classes.

    Returns:
        base64 of (h*w, 4) int16, little-endian: likeliest class, its probability in thousandths, second class, its
        probability; -1 for the second if there is only one class. The two probabilities add to at most 1000. A second
        one below 1 is 0, as `html.percent` says "< 0.1 %" for it.
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
        thousandths = 1000 * flat[second, columns]
        spots[:, 3] = np.where(thousandths < 1, 0, np.minimum(np.rint(thousandths), 1000 - spots[:, 1]))
    return base64.b64encode(spots.tobytes()).decode("ascii")


def _url(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
