"""Connected components of a label map (objects in annotation tools), as run lengths and as outlines."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from cliptrase_core.errors import InputError, is_whole
from cliptrase_core.io.masks import connected_parts
from cliptrase_core.names import MIN_AREA

Outline = npt.NDArray[np.int32]
"""(M, 2), x and y in pixels, M >= 3: closed line through the outermost pixels of a component. A cut of zero width joins
each hole to the line. Filling by the even-odd rule, with the pixels of the line itself, restores the component."""


@dataclass(frozen=True)
class ComponentRule:
    """Definition of a component.

    Attributes:
        min_area: minimum area in pixels; smaller connected parts are left out.
        per_class: all parts of a class form one component.
    """

    min_area: int = MIN_AREA
    per_class: bool = False

    def __post_init__(self) -> None:
        """Raise InputError unless `min_area` is a whole number of at least 0."""
        if not is_whole(self.min_area) or self.min_area < 0:
            remedy = "0 keeps every pixel."
            raise InputError("min_area", expected="whole pixels, at least 0", got=repr(self.min_area), remedy=remedy)


@dataclass(frozen=True, eq=False)
class Component:
    """Component of one class; pixels connect by sides or corners.

    Attributes:
        label: label of the class.
        area: number of pixels.
        box: (left, top, width, height) in pixels.
        counts: COCO run lengths as text.
        outlines: one outline for each connected part.
    """

    label: int
    area: int
    box: tuple[int, int, int, int]
    counts: str
    outlines: tuple[Outline, ...]


def find_components(
    labels: npt.NDArray[np.integer[Any]], wanted: Iterable[int], rule: ComponentRule
) -> list[Component]:
    """Find the components of the wanted labels, ordered by label, then from top to bottom.

    Args:
        labels: label map (H, W).
        wanted: labels to search for; an absent label has no component.
        rule: definition of a component.
    """
    size = (labels.shape[0], labels.shape[1])
    found: list[Component] = []
    for label in wanted:
        mask = (labels == label).view(np.uint8)
        left, top, width, height = cv2.boundingRect(mask)
        if not width:
            continue
        inside = mask[top : top + height, left : left + width]
        parts = [(part, left + x, top + y) for part, x, y in connected_parts(inside, rule.min_area)]
        if rule.per_class and parts:
            found.append(_joined(label, parts, size))
        else:
            found += [_component(label, part, x, y, size) for part, x, y in parts]
    return found


def _component(label: int, part: npt.NDArray[np.uint8], left: int, top: int, size: tuple[int, int]) -> Component:
    box = (left, top, part.shape[1], part.shape[0])
    return Component(label, int(part.sum()), box, run_lengths_at(part, left, top, size), (_outline(part, left, top),))


def _joined(label: int, parts: list[tuple[npt.NDArray[np.uint8], int, int]], size: tuple[int, int]) -> Component:
    left, top = min(x for _, x, _ in parts), min(y for _, _, y in parts)
    right, bottom = max(x + part.shape[1] for part, x, _ in parts), max(y + part.shape[0] for part, _, y in parts)
    whole = np.zeros((bottom - top, right - left), np.uint8)
    for part, x, y in parts:
        whole[y - top : y - top + part.shape[0], x - left : x - left + part.shape[1]] |= part
    box = (left, top, right - left, bottom - top)
    outlines = tuple(_outline(*part) for part in parts)
    return Component(label, int(whole.sum()), box, run_lengths_at(whole, left, top, size), outlines)


def run_lengths_at(mask: npt.NDArray[np.uint8], left: int, top: int, size: tuple[int, int]) -> str:
    """Return COCO run lengths of a mask (h, w) at (left, top) of a picture (H, W), without an array of full size."""
    height = size[0]
    columns = np.zeros((mask.shape[1], mask.shape[0] + 2), np.int8)
    columns[:, 1:-1] = mask.T
    steps = np.diff(columns, axis=1)
    column, start = np.nonzero(steps == 1)
    stop = np.nonzero(steps == -1)[1]
    first = (column + left) * height + top
    ends = np.stack([first + start, first + stop], axis=1).ravel()
    touching = np.flatnonzero(ends[1:-1:2] == ends[2::2]) * 2 + 1  # from the bottom of a column to the top of the next
    return counts_text(np.delete(ends, np.concatenate([touching, touching + 1])), size)


def counts_text(ends: npt.NDArray[np.integer[Any]], size: tuple[int, int]) -> str:
    """Return COCO's text of runs, from their starts and ends as counted down the columns from left to right."""
    counts = np.diff(np.concatenate([[0], ends, [size[0] * size[1]]])).tolist()
    if len(counts) > 1 and counts[-1] == 0:
        counts.pop()
    encoded = coco_mask.frPyObjects({"size": list(size), "counts": counts}, *size)
    return str(encoded["counts"], "ascii")


def _outline(part: npt.NDArray[np.uint8], left: int, top: int) -> Outline:
    """Return the outline of one connected part (h, w), with its holes joined to it by cuts.

    The cut runs along a row, from the leftmost pixel of the hole to the left, within the part. It meets the outer line,
    or the line of a hole that begins further left and is therefore joined to the outline already.
    """
    found, levels = cv2.findContours(part, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    lines = [line[:, 0].astype(np.int32) for line in found]
    is_hole = (levels[0, :, 3] >= 0).tolist()
    outline: Outline = lines[is_hole.index(False)]
    holes = [line for line, inner in zip(lines, is_hole, strict=True) if inner]
    for hole in sorted(holes, key=lambda line: int(line[:, 0].min())):
        begin = int(hole[:, 0].argmin())
        x, y = hole[begin].tolist()
        free = np.flatnonzero(part[y, : x + 1] == 0)
        meets = int(free[-1]) + 1 if len(free) else 0
        at = int(np.flatnonzero((outline[:, 0] == meets) & (outline[:, 1] == y))[0])
        around = np.concatenate([hole[begin:], hole[: begin + 1]])
        outline = np.concatenate([outline[: at + 1], around, outline[at:]])
    return _corners(outline) + np.array([left, top], np.int32)


def _corners(line: Outline) -> Outline:
    """Return a closed line without the pixels at which it goes straight on, but with at least three points."""
    after = np.roll(line, -1, axis=0) - line
    turns = (after != np.roll(after, 1, axis=0)).any(axis=1)
    corners = line[turns] if turns.any() else line
    closed: Outline = np.concatenate([corners, np.repeat(corners[-1:], max(0, 3 - len(corners)), axis=0)])
    return closed


def edges(outline: Outline) -> npt.NDArray[np.float64]:
    """Return the outline (M, 2) a quarter of a pixel inside the outer edges of its pixels; the picture's corner is 0.

    `pycocotools` fills this line to exactly the same pixels; with the line through their centres it would lose a row.
    """
    corner = outline.min(axis=0)
    width, height = (outline.max(axis=0) - corner + 1).tolist()
    part = np.zeros((height, width), np.uint8)
    cv2.fillPoly(part, [outline - corner], 1)
    doubled = part.repeat(2, axis=0).repeat(2, axis=1)
    line: npt.NDArray[np.float64] = (_outline(doubled, 0, 0) + 0.5) / 2 + corner
    return line
