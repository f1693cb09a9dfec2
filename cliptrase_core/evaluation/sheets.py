"""Sheets of the best and the worst pictures: picture, ground truth, labels."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from cliptrase_core.errors import CliptraseError
from cliptrase_core.evaluation.batches import Job
from cliptrase_core.evaluation.records import Record
from cliptrase_core.evaluation.report import counts_of, figures
from cliptrase_core.evaluation.sources import Labels, Pixels
from cliptrase_core.io.files import marked_png
from cliptrase_core.io.masks import IGNORED
from cliptrase_core.viz.overlay import blend
from cliptrase_core.viz.palette import NO_REGION_COLOUR, class_colours, paint

ROWS = 6
_SIDE = 240
_CAPTION = 18
_MIX = 0.6
"""How much of a class's colour covers the picture."""


def ranked(records: Sequence[Record], classes: int) -> list[tuple[str, float]]:
    """Keys of pictures that were scored with their mIoU in per cent, best first, equal ones by key."""
    used = [record for record in records if record.cells]
    scores = figures(counts_of(used, classes), "paper")["mIoU"]
    return sorted(
        ((record.key, float(score)) for record, score in zip(used, scores, strict=True)),
        key=lambda pair: (-pair[1], pair[0]),
    )


def sheet(job: Job, chosen: Sequence[tuple[str, float]]) -> bytes:
    """A PNG with a row for each picture: as it was scored, the truth, the labels.

    Pixels that do not count are grey in the truth.

    Args:
        job: labels the pictures again.
        chosen: keys and mIoU, from `ranked`.
    """
    by_name = class_colours(job.source.names)
    colours = np.array([*(by_name[name] for name in job.source.names), NO_REGION_COLOUR], np.uint8)
    places = {key: index for index, key in enumerate(job.source.keys)}
    canvas = Image.new("RGB", (3 * _SIDE, max(1, len(chosen)) * (_SIDE + _CAPTION)), "white")
    draw = ImageDraw.Draw(canvas)
    for row, (key, score) in enumerate(chosen):
        top = row * (_SIDE + _CAPTION)
        shown = f"{key}   mIoU {score:.1f}"
        draw.text((4, top + 3), shown.encode("ascii", "replace").decode(), fill="black")
        sample, labels = job.outcome(places[key])
        if isinstance(labels, CliptraseError):
            continue
        if sample.labels is not None:
            labels = sample.labels[labels]
        image = _fitted(sample.image, labels.shape)
        for column, tile in enumerate((image, _mixed(image, sample.truth, colours), _mixed(image, labels, colours))):
            canvas.paste(_tile(tile), (column * _SIDE, top + _CAPTION))
    out = io.BytesIO()
    canvas.save(out, "PNG", pnginfo=marked_png())
    return out.getvalue()


def _fitted(image: Pixels, size: tuple[int, ...]) -> Pixels:
    return image if image.shape[:2] == size else np.asarray(Image.fromarray(image).resize((size[1], size[0])))


def _mixed(image: Pixels, labels: Labels, colours: Pixels) -> Pixels:
    painted = paint(np.where(labels == IGNORED, len(colours) - 1, labels), colours)
    return blend(image, painted, _MIX)


def _tile(image: Pixels) -> Image.Image:
    tile = Image.fromarray(image)
    tile.thumbnail((_SIDE, _SIDE))
    return tile
