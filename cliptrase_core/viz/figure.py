"""Matplotlib figures for papers and slides: picture, maps, regions and result in one row, or one of them alone.

Matplotlib and torch are imported when a figure is drawn. A figure does not use the global state of pyplot, so that
threads and servers can draw. `figure.savefig` writes PNG at any dpi, SVG and PDF.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from cliptrase_core.errors import InputError, counted
from cliptrase_core.io.geometry import Size, fitted
from cliptrase_core.io.image import ImageInput, read_reduced
from cliptrase_core.results import Refined, Segmentation
from cliptrase_core.viz.heatmap import HEAT_OPACITY, HEAT_TABLE, MARK, MOST, SIGNED_TABLE, frames_said
from cliptrase_core.viz.names import checked_font, shown_name
from cliptrase_core.viz.overlay import blend, in_grey, lay_over
from cliptrase_core.viz.palette import label_colours, legend, paint, region_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage
    from torch import Tensor

    from cliptrase_core.inspection.capture import AttentionMaps

Picture = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Patch = tuple[int, int]

OF_MAPS = ("before", "after", "difference", "affinity")
OF_RESULT = ("regions", "coarse", "result", "confidence")
PARTS = ("picture", *OF_MAPS, *OF_RESULT)
"""Names of all panels, in their default order."""
BY_DEFAULT = ("picture", "before", "after", "difference", "regions", "coarse", "result")

PANEL = 3.2
"""Longer side of a panel in inches."""
SHEET_COLUMNS = 6
"""Most layers side by side in `layer_sheet`."""
UNIT = "\u00d7 uniform (1/N)"
_MOST_SIDE = 2048
"""Longest side of an embedded picture in pixels."""
_MOST_NAMES = 12
"""Most classes in the legend; the others are only counted."""


@dataclass(frozen=True, eq=False)
class _Shown:
    """Input of a figure.

    Attributes:
        maps: attention maps, or None.
        result: result, or None.
        image: (H, W, 3), or None.
        patch: (row, column) of the patch whose attention is drawn; None for [CLS].
        font: path of a font file, or None.
    """

    maps: AttentionMaps | None
    result: Segmentation | None
    image: Picture | None
    patch: Patch | None
    font: str | None

    @property
    def size(self) -> Size:
        """(H, W) of the frame shared by all panels."""
        if self.image is not None:
            return self.image.shape[0], self.image.shape[1]
        if self.result is not None:
            return self.result.size
        return self.maps.grid if self.maps is not None else (1, 1)

    @property
    def has(self) -> set[str]:
        """Names of the panels that can be drawn."""
        parts = set(OF_MAPS) if self.maps is not None else set()
        parts |= {"picture"} if self.image is not None else set()
        if self.result is not None:
            parts |= set(OF_RESULT) if isinstance(self.result, Refined) else set(OF_RESULT) - {"coarse"}
        return parts


def figure(
    *shown: Segmentation | AttentionMaps,
    parts: str | Sequence[str] | None = None,
    image: ImageInput | None = None,
    patch: Patch | None = None,
    title: str | None = None,
    font: str | None = None,
) -> Figure:
    """Draw a result, attention maps, or both, as one row of panels.

    Args:
        shown: a result (`Refined` too), maps, or one of each.
        parts: names from `PARTS`, or one name; None draws all that are available, except affinity and confidence.
        image: picture that was segmented or inspected; under a paper preset its crop, `encoding.model_input`, too, and
            without a result nothing else. If None, maps and colours are drawn without the picture.
        patch: (row, column) of the patch whose attention is shown; None selects [CLS].
        title: title of the row; None shows model, layer, head and patch, "" shows no title. With a title, a line below
            the maps explains the frames of patches.
        font: path of a font file for class names; None uses DejaVu Sans, which has no Chinese, Japanese, Korean or
            Indian letters. A name that the font cannot write is replaced by its number.

    Returns:
        `matplotlib.figure.Figure`: `.savefig(path, dpi=300)` writes .png, .svg or .pdf; notebooks show it.

    Raises:
        InputError: nothing to draw, an unavailable panel, maps or an image of another size, no such patch or font.
    """
    from matplotlib.figure import Figure

    given = _given(shown, image, patch, font)
    chosen = _chosen(parts, given)
    height, width = (PANEL * side / max(given.size) for side in given.size)
    row = Figure(figsize=(len(chosen) * (max(width, 1.2) + 0.7), max(height, 1.2) + 1.6), layout="constrained")
    for axes, part in zip(row.subplots(1, len(chosen), squeeze=False)[0], chosen, strict=True):
        axes.set_axis_off()
        _PAINTERS[part](axes, given)
    text = _title(given, chosen) if title is None else title
    if text:
        row.suptitle(text, fontsize="medium", parse_math=False)
        if given.maps is not None and not set(OF_MAPS).isdisjoint(chosen):
            row.supxlabel(frames_said(patch, len(given.maps.global_patches)), fontsize="small")
    # IPython calls this method. pyplot would add it to all figures, but is not imported here.
    row._repr_png_ = partial(_png, row)  # type: ignore[attr-defined]
    return row


def layer_sheet(
    layers: Sequence[AttentionMaps], *, image: ImageInput | None = None, patch: Patch | None = None
) -> Figure:
    """Draw the attention of one patch in every layer, before and after recovery, all maps on one scale.

    The scale ends at `heatmap.MOST` or below: in the first layers a patch attends only to its neighbours, and a scale
    up to those values would make the last layers dark.

    Args:
        layers: maps of one picture, for instance of layer 1 to L; each gives one panel above (before) and one below.
        image: as for `figure`.
        patch: as for `figure`.

    Returns:
        As for `figure`.

    Raises:
        InputError: no maps, or no such patch.
    """
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure

    given = [_given((one,), image, patch, None) for one in layers]
    if not given:
        _given((), image, patch, None)  # raises InputError: no maps
    shares = [dict(zip(("before", "after"), _relative_to_uniform(one), strict=True)) for one in given]
    others = np.ones(shares[0]["before"].shape, bool)
    if given[0].patch is not None:
        others[given[0].patch] = others.size == 1
    most = max(float(values[others].max()) for pair in shares for values in pair.values())
    height, width = (0.6 * PANEL * side / max(given[0].size) for side in given[0].size)
    across = min(SHEET_COLUMNS, len(given))
    rows = 2 * -(-len(given) // across)
    sheet = Figure(figsize=(across * (width + 0.1) + 1, rows * (height + 0.3) + 0.5), layout="constrained")
    grid = sheet.subplots(rows, across, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for place, (one, pair) in enumerate(zip(given, shares, strict=True)):
        for down, (name, values) in enumerate(pair.items()):
            axes = grid[2 * (place // across) + down, place % across]
            drawn = _lay(axes, one, values, (0.0, min(most, MOST)), ListedColormap(HEAT_TABLE / 255))
            axes.set_title(f"layer {layers[place].layer} {name}", fontsize="small")
    sheet.colorbar(drawn, ax=grid, shrink=0.4, label=UNIT, extend="max" if most > MOST else "neither")
    sheet.suptitle(_title(given[0], OF_MAPS, with_layer=False), fontsize="medium", parse_math=False)
    sheet.supxlabel(frames_said(patch, max(len(one.global_patches) for one in layers)), fontsize="small")
    return sheet


def _given(
    shown: Sequence[Segmentation | AttentionMaps], image: ImageInput | None, patch: Patch | None, font: str | None
) -> _Shown:
    from cliptrase_core.inspection.capture import AttentionMaps

    results = [one for one in shown if isinstance(one, Segmentation)]
    maps = [one for one in shown if isinstance(one, AttentionMaps)]
    if not shown or len(results) + len(maps) != len(shown) or max(len(results), len(maps)) > 1:
        raise InputError(
            "figure",
            expected="a result, attention maps, or one of each",
            got=", ".join(type(one).__name__ for one in shown) or "nothing",
            remedy="Pass what `segment`, `refine` or `inspect` gave.",
        )
    if results and maps and maps[0].grid != results[0].grid:
        expected, got = (f"{h} x {w} patches" for h, w in (results[0].grid, maps[0].grid))
        raise InputError("maps", expected=f"{expected}, as the result", got=got, remedy="Inspect in the same layout.")
    pixels = None
    if image is not None:
        pixels = results[0].canvas(image) if results else read_reduced(image).pixels
    if patch is not None:
        if not maps:
            remedy = "Pass the maps of `inspect` too."
            raise InputError("patch", expected="none without maps", got=repr(patch), remedy=remedy)
        maps[0].token(*(patch := _pair(patch)))  # raises for a patch outside the grid
    return _Shown(maps[0] if maps else None, results[0] if results else None, pixels, patch, checked_font(font))


def _pair(patch: Patch) -> Patch:
    if not isinstance(patch, Sequence) or isinstance(patch, str) or len(patch) != 2:
        raise InputError("patch", expected="(row, column)", got=repr(patch)[:80], remedy="For instance (3, 7).")
    return patch[0], patch[1]


def _chosen(parts: str | Sequence[str] | None, given: _Shown) -> list[str]:
    if parts is None:
        return [part for part in BY_DEFAULT if part in given.has]
    chosen = [parts] if isinstance(parts, str) or not isinstance(parts, Sequence) else list(parts)
    there = [part for part in PARTS if part in given.has]
    if not chosen or not all(part in there for part in chosen):
        remedy = "Pass `image=` for the picture, maps for attention, a refined result for coarse."
        raise InputError("parts", expected="some of " + ", ".join(there), got=repr(parts)[:80], remedy=remedy)
    return chosen


# Panels


def _picture(axes: Axes, given: _Shown) -> None:
    axes.set_title("picture")
    if given.image is not None:
        axes.imshow(_small(given.image), extent=_extent(given))
        _mark(axes, given, with_global=False)


def _attention(axes: Axes, given: _Shown, *, part: str) -> None:
    """Draw the map before or after recovery, both on one scale, or their difference; ends as in `layer_sheet`."""
    from matplotlib.colors import ListedColormap

    before, after = _relative_to_uniform(given)
    others = np.ones(before.shape, bool)
    if given.patch is not None:
        others[given.patch] = before.size == 1  # a patch may attend to itself far more than to others
    if part == "difference":
        most = float(np.abs(after - before)[others].max()) or 1.0
        values, ends, colours = after - before, (-min(most, MOST), min(most, MOST)), SIGNED_TABLE
    else:
        values, most = before if part == "before" else after, float(max(before[others].max(), after[others].max()))
        ends, colours = (0.0, min(most, MOST)), HEAT_TABLE
    names = {"before": "before: query-key attention", "after": "after: recovered attention"}
    label = f"after - before, {UNIT}" if part == "difference" else UNIT
    beyond = "neither" if most <= MOST else "both" if part == "difference" else "max"
    _heat(axes, given, values, ends, ListedColormap(colours / 255), label, beyond)
    axes.set_title(names.get(part, part))


def _affinity(axes: Axes, given: _Shown) -> None:
    from matplotlib.colors import ListedColormap

    values = _row(given, "affinity").reshape(_grid(given)).numpy()
    others = values if given.patch is None else np.delete(values, given.patch[0] * values.shape[1] + given.patch[1])
    ends = (float(others.min()), float(others.max())) if others.size else (0.0, 1.0)
    _heat(axes, given, values, ends, ListedColormap(HEAT_TABLE / 255), "cosine")
    axes.set_title("affinity")


def _labels(axes: Axes, given: _Shown, *, coarse: bool = False) -> None:
    from matplotlib.font_manager import FontProperties
    from matplotlib.patches import Patch as Swatch

    result = given.result
    if result is None:
        return
    labels = result.coarse if coarse and isinstance(result, Refined) else result.labels
    colours = label_colours(result)
    ground = paint(labels, colours) if given.image is None else lay_over(given.image, labels, colours, "fill", 0.6)
    axes.imshow(_small(ground), extent=_extent(given))
    refined = isinstance(result, Refined)
    axes.set_title("coarse" if coarse else "refined" if refined else "result")
    if coarse:
        return
    rows = legend(result)
    swatches = [Swatch(facecolor=row.colour, edgecolor="0.3", linewidth=0.5) for row in rows[:_MOST_NAMES]]
    shown = [(shown_name(row.name, f"class {row.index}", given.font), row.area) for row in rows[:_MOST_NAMES]]
    texts = [f"{name}  {area:.0%}" for name, area in shown]
    if len(rows) > _MOST_NAMES:
        swatches.append(Swatch(alpha=0))
        texts.append(f"and {len(rows) - _MOST_NAMES} more")
    columns = 1 if max(map(len, texts)) > 14 else 2
    letters = FontProperties(fname=given.font, size="small")
    place = (0.5, 0)  # below the panel
    box = axes.legend(
        swatches, texts, loc="upper center", bbox_to_anchor=place, ncols=columns, frameon=False, prop=letters
    )
    for text in box.get_texts():
        text.set_parse_math(False)  # "$" in a class name starts no formula


def _regions(axes: Axes, given: _Shown) -> None:
    if given.result is None:
        return
    regions = given.result.regions
    count = int(regions.max()) + 1
    painted = paint(regions, region_colours(count))
    ground = painted if given.image is None else blend(in_grey(given.image), painted, 0.72)
    axes.imshow(_small(ground), extent=_extent(given))
    axes.set_title(counted(count, "region"))


def _confidence(axes: Axes, given: _Shown) -> None:
    from matplotlib.colors import ListedColormap

    if given.result is not None:
        values = cv2.resize(given.result.confidence, _fit(given.result.size)[::-1], interpolation=cv2.INTER_AREA)
        shown = axes.imshow(values, ListedColormap(HEAT_TABLE / 255), vmin=0, vmax=1, extent=_extent(given))
        _bar(axes, shown, "confidence")
        axes.set_title("confidence")


_PAINTERS: dict[str, Callable[[Axes, _Shown], None]] = {
    "picture": _picture,
    "before": partial(_attention, part="before"),
    "after": partial(_attention, part="after"),
    "difference": partial(_attention, part="difference"),
    "affinity": _affinity,
    "regions": _regions,
    "coarse": partial(_labels, coarse=True),
    "result": _labels,
    "confidence": _confidence,
}


# Helpers of the panels


def _heat(
    axes: Axes,
    given: _Shown,
    values: Floats,
    ends: tuple[float, float],
    colours: Colormap,
    label: str,
    beyond: str = "neither",
) -> None:
    """Draw a map over the picture in grey, with a colour bar; `beyond` names its ends that larger values pass."""
    _bar(axes, _lay(axes, given, values, ends, colours), label, beyond)


def _lay(axes: Axes, given: _Shown, values: Floats, ends: tuple[float, float], colours: Colormap) -> AxesImage:
    """Draw a map over the picture in grey."""
    alpha = 1.0
    if given.image is not None:
        axes.imshow(_small(in_grey(given.image)), extent=_extent(given))
        alpha = HEAT_OPACITY
    low, high = ends
    shown = axes.imshow(
        values, colours, vmin=low, vmax=high, alpha=alpha, extent=_extent(given), interpolation="nearest"
    )
    _mark(axes, given)
    return shown


def _bar(axes: Axes, shown: AxesImage, label: str, beyond: str = "neither") -> None:
    bar = axes.figure.colorbar(shown, cax=axes.inset_axes((1.02, 0, 0.04, 1)), extend=beyond)  # as tall as the map
    bar.set_label(label, fontsize="small")
    bar.ax.tick_params(labelsize="small")


def _mark(axes: Axes, given: _Shown, *, with_global: bool = True) -> None:
    """Outline the selected patch in red and the global patches in white."""
    from matplotlib.patches import Rectangle

    if given.maps is None:
        return
    (h, w), (height, width) = given.maps.grid, given.size
    cells = [(*divmod(int(patch), w), "white", 0.8) for patch in given.maps.global_patches]
    cells = cells if with_global else []
    if given.patch is not None:
        cells.append((*given.patch, "#{:02x}{:02x}{:02x}".format(*MARK), 1.6))
    for row, column, colour, line in cells:
        corner = (column * width / w, row * height / h)
        axes.add_patch(Rectangle(corner, width / w, height / h, fill=False, edgecolor=colour, linewidth=line))


def _relative_to_uniform(given: _Shown) -> tuple[Floats, Floats]:
    """Return the attention of the patch or [CLS] before and after recovery: (h, w) each, 1 is uniform (1/N)."""
    from cliptrase_core.inspection.statistics import patch_shares

    grid = _grid(given)
    before, after = (
        (patch_shares(_row(given, name)) * (grid[0] * grid[1])).reshape(grid).numpy()
        for name in ("attention", "recovered")
    )
    return before, after


def _row(given: _Shown, name: str) -> Tensor:
    """Return (N,), the row of the patch or [CLS] in a matrix of the maps, without the [CLS] column."""
    maps = given.maps
    token = 0 if maps is None or given.patch is None else maps.token(*given.patch)
    row: Tensor = getattr(maps, name)[token, 1:]
    return row


def _grid(given: _Shown) -> Size:
    return given.maps.grid if given.maps is not None else (1, 1)


def _extent(given: _Shown) -> tuple[float, float, float, float]:
    """Return the extent of every panel: one frame for all, independent of the resolution."""
    return 0, given.size[1], given.size[0], 0


def _fit(size: Size) -> Size:
    return fitted(size, min(max(size), _MOST_SIDE))


def _small(picture: Picture) -> Picture:
    """Shrink a large picture, so that a PDF does not take many megabytes."""
    size = _fit((picture.shape[0], picture.shape[1]))
    return np.asarray(cv2.resize(picture, size[::-1], interpolation=cv2.INTER_AREA), np.uint8)


def _title(given: _Shown, chosen: Sequence[str], *, with_layer: bool = True) -> str:
    maps, result = given.maps, given.result
    model = (maps.model if maps is not None else "") or (str(result.settings.get("model", "")) if result else "")
    parts = [model] if model else []
    if result is not None and result.settings.get("method", "cliptrase") != "cliptrase":
        parts.append(str(result.settings["method"]))
    if maps is not None and not set(OF_MAPS).isdisjoint(chosen):
        # Regions and result do not depend on the layer and head that are shown.
        layer = f"layer {maps.layer}" if set(OF_RESULT).isdisjoint(chosen) else f"attention of layer {maps.layer}"
        parts += [layer] if with_layer else []
        parts.append("mean of heads" if maps.head is None else f"head {maps.head}")
        parts.append("[CLS]" if given.patch is None else f"patch: row {given.patch[0]}, column {given.patch[1]}")
    return " · ".join(parts)


def _png(figure: Figure) -> bytes:
    out = BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()
