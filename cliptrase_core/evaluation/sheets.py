"""Sheets of the best, median and worst pictures: picture, ground truth, labels, and a legend of the colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from cliptrase_core.errors import CliptraseError
from cliptrase_core.evaluation.batches import Job
from cliptrase_core.evaluation.metrics import class_iou, confusion_matrix, figures
from cliptrase_core.evaluation.records import Record, counts_of
from cliptrase_core.evaluation.report import NO_CLASS
from cliptrase_core.evaluation.sources import Labels, Pixels
from cliptrase_core.io.geometry import Size, fitted, nearest
from cliptrase_core.io.masks import IGNORED
from cliptrase_core.io.png import encode_png
from cliptrase_core.viz.names import shown_name, written
from cliptrase_core.viz.overlay import blend
from cliptrase_core.viz.palette import NO_REGION_COLOUR, Colour, class_colours, paint

ROWS = 6
"""Maximal number of pictures on a sheet."""
BEST, MEDIAN, WORST = TITLES = ("Best pictures", "Median pictures", "Worst pictures")
PARTS = ("picture", "ground truth", "labels")
UNCOUNTED = "does not count"

_SIDE = 320
"""Longest side of a tile, in pixels."""
_ENTRIES = 10
"""Maximal number of classes in a legend; for the others, it shows only their number."""
_MIX = 0.6
"""Opacity of the class colours over the picture, in [0, 1]."""


@dataclass(frozen=True)
class Entry:
    """Meaning of one colour of a picture.

    Attributes:
        name: name of the class.
        colour: (red, green, blue).
        iou: IoU of the class in this picture, in per cent; None if the colour is not of a class.
    """

    name: str
    colour: Colour
    iou: float | None = None


@dataclass(frozen=True, eq=False)
class ShownPicture:
    """One picture on a sheet.

    Attributes:
        key: name of the picture in the data set.
        score: mIoU in per cent.
        tiles: (h, w, 3) uint8 images of equal size, see `PARTS`; empty if the picture could not be segmented again.
        legend: entries of the classes in ground truth or labels, largest area first.
        more: number of classes that the legend leaves out.
    """

    key: str
    score: float
    tiles: tuple[Pixels, ...]
    legend: tuple[Entry, ...]
    more: int = 0


def ranked(records: Sequence[Record], classes: int) -> list[tuple[str, float]]:
    """Return keys of scored pictures with their mIoU in per cent, sorted from best to worst, then by key."""
    used = [record for record in records if record.cells]
    scores = figures(counts_of(used, classes), "paper")["mIoU"]
    return sorted(
        ((record.key, float(score)) for record, score in zip(used, scores, strict=True)),
        key=lambda pair: (-pair[1], pair[0]),
    )


def grouped(order: Sequence[tuple[str, float]]) -> dict[str, list[tuple[str, float]]]:
    """Divide the result of `ranked` into sheets by title; a picture is on one sheet at most, and no sheet is empty."""
    rows = min(ROWS, -(-len(order) // 3))
    best, worst = order[:rows], order[rows:][::-1][:rows]
    between = order[rows : len(order) - len(worst)]
    start = max(0, len(between) - rows) // 2
    found = {BEST: best, MEDIAN: between[start : start + rows], WORST: worst}
    return {title: list(chosen) for title, chosen in found.items() if chosen}


def shown(job: Job, chosen: Sequence[tuple[str, float]]) -> list[ShownPicture]:
    """Segment pictures again to show them. Pixels that do not count are grey in the ground truth.

    Args:
        job: job that segments the pictures.
        chosen: keys and mIoU, from `ranked`.
    """
    by_name = class_colours(job.source.names)
    colours = [by_name[name] for name in job.source.names]
    places = {key: index for index, key in enumerate(job.source.keys)}
    return [_shown_picture(job, places[key], score, colours) for key, score in chosen]


def _shown_picture(job: Job, place: int, score: float, colours: Sequence[Colour]) -> ShownPicture:
    key, names = job.source.keys[place], job.source.names
    try:
        sample, labels = job.segmented(place)
    except CliptraseError:  # the file was removed after it was scored
        return ShownPicture(key, score, (), ())
    labels = sample.in_data_set(labels)
    legend = _legend(sample.ground_truth, labels, names, colours)
    size = fitted((labels.shape[0], labels.shape[1]), _SIDE)
    table = np.array([*colours, NO_REGION_COLOUR], np.uint8)
    image = np.asarray(Image.fromarray(sample.image).resize(size[::-1]))
    # `IGNORED` (-1) selects the last colour.
    maps = [blend(image, paint(nearest(one, size), table), _MIX) for one in (sample.ground_truth, labels)]
    return ShownPicture(key, score, (image, *maps), legend[:_ENTRIES], max(0, len(legend) - _ENTRIES))


def _legend(ground_truth: Labels, labels: Labels, names: Sequence[str], colours: Sequence[Colour]) -> tuple[Entry, ...]:
    matrix = confusion_matrix(ground_truth, labels, len(names))
    iou, areas = 100 * class_iou(matrix), matrix.sum(axis=1) + matrix[:, :-1].sum(axis=0)
    entries = [
        Entry(names[label], colours[label], float(iou[label]))
        for label in np.argsort(-areas, kind="stable")
        if areas[label]
    ]
    grey = [(UNCOUNTED, (ground_truth == IGNORED).any()), (NO_CLASS, (labels == IGNORED).any())]
    return (*entries, *(Entry(name, NO_REGION_COLOUR) for name, there in grey if there))


_GAP = 4
_LINE = 17
"""Height of a line of text, in pixels."""
_LEGEND = 216
"""Width of a legend, in pixels."""
_LETTERS = 12


def to_png(rows: Sequence[ShownPicture]) -> bytes:
    """Draw a PNG sheet: each scored picture, its ground truth and labels, and beside them a legend of the colours."""
    heights = [_row_size(one)[0] for one in rows]
    width = max(_row_size(one)[1] for one in rows)
    canvas = Image.new("RGB", (width, sum(heights)), "white")
    draw, top = ImageDraw.Draw(canvas), 0
    for number, (one, height) in enumerate(zip(rows, heights, strict=True), 1):
        _draw_row(canvas, draw, top, one, number)
        top += height
    return encode_png(np.asarray(canvas))


def _tiles_size(one: ShownPicture) -> Size:
    """Return (height, width) of the tiles side by side, in pixels."""
    if not one.tiles:
        return 0, 0
    height, width = one.tiles[0].shape[:2]
    return height, len(one.tiles) * (width + _GAP)


def _row_size(one: ShownPicture) -> Size:
    height, width = _tiles_size(one)
    lines = len(one.legend) + bool(one.more)
    return _LINE + max(height, lines * _LINE) + 2 * _GAP, max(width + _LEGEND, 2 * _LEGEND)


def _draw_row(canvas: Image.Image, draw: ImageDraw.ImageDraw, top: int, one: ShownPicture, number: int) -> None:
    written(draw, (_GAP, top + 2), f"{shown_name(one.key, number)}   mIoU {one.score:.1f}", _LETTERS)
    top += _LINE + _GAP
    for place, tile in enumerate(one.tiles):
        canvas.paste(Image.fromarray(tile), (place * (tile.shape[1] + _GAP), top))
    left = _tiles_size(one)[1] + _GAP
    for line, entry in enumerate(one.legend):
        y = top + line * _LINE
        draw.rectangle((left, y + 2, left + 11, y + 13), fill=entry.colour, outline="black")
        score = "" if entry.iou is None else f"  {entry.iou:.0f}"
        written(draw, (left + 18, y + 1), f"{shown_name(entry.name, line + 1)}{score}", _LETTERS)
    if one.more:
        written(draw, (left + 18, top + len(one.legend) * _LINE + 1), f"and {one.more} more", _LETTERS)


def shown_pictures(job: Job, records: Sequence[Record]) -> Mapping[str, Sequence[ShownPicture]]:
    """Return the pictures of each sheet by title, segmented again."""
    order = ranked(records, len(job.source.names))
    return {title: shown(job, chosen) for title, chosen in grouped(order).items()} if ROWS else {}
