"""Labels of the cells of coarse grids over photographs, assigned by eye, and their extension to pixels.

`grids.txt` has one record per photograph: "# <set>/<name>", a legend ("w wall"), then one line for each row of the
grid with one letter per cell. A dot is an unknown cell, mostly because an edge runs through it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

FILE = Path(__file__).with_name("grids.txt")
CERTAIN = 0.2  # in cell sides: pixels at least this far from a cell of another word surely have the word of their cell
FAR = 0.9  # in cell sides: pixels of unknown cells that are farther from a labelled cell stay unknown


@dataclass(frozen=True, eq=False)
class Grid:
    """Labels of the cells of a photograph.

    Attributes:
        words: words of the legend.
        cells: (rows, columns) uint8, covering the whole photograph: 0 is unknown, else 1 + index in `words`.
    """

    words: list[str]
    cells: np.ndarray


def read_grids(path: Path = FILE) -> dict[str, Grid]:
    """Read the grids, by "<set>/<name>".

    Raises:
        SystemExit: a record has rows of different lengths or a letter without a word.
    """
    found = {}
    for record in re.split(r"^# ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        name, *lines = record.split("\n")
        legend = {line[0]: line[2:] for line in lines if line[1:2] == " "}
        rows = [line for line in lines if line and line[1:2] != " "]
        letters = [".", *legend]
        if len({len(row) for row in rows}) != 1 or set("".join(rows)) - set(letters):
            raise SystemExit(f"expected rows of one length and letters of the legend for {name} in {path.name}")
        cells = np.array([[letters.index(letter) for letter in row] for row in rows], np.uint8)
        found[name] = Grid(list(legend.values()), cells)
    return found


def spread(grid: Grid, pixels: np.ndarray, size: tuple[int, int], corner: tuple[int, int]) -> np.ndarray:
    """Extend the labels of cells to pixels; a watershed on the edges of the photograph finds the borders.

    Args:
        grid: grid of the whole photograph.
        pixels: (h, w, 3) uint8, a crop of the photograph.
        size: (height, width) of the whole photograph, in the same pixels.
        corner: (row, column) of the crop's upper left corner in the photograph.

    Returns:
        (h, w) uint8, 0 where unknown, else 1 + index in the grid's words.
    """
    height, width = pixels.shape[:2]
    rows, columns = (
        (np.arange(extent) + start) * cells // whole
        for extent, start, cells, whole in zip((height, width), corner, grid.cells.shape, size, strict=True)
    )
    labels = grid.cells[rows[:, None], columns[None]]
    cell = size[0] / grid.cells.shape[0]
    reach = np.ones((1 + 2 * round(CERTAIN * cell),) * 2, np.uint8)
    certain = (cv2.erode(labels, reach) == cv2.dilate(labels, reach)) & (labels > 0)
    unknown = len(grid.words) + 1
    far = cv2.distanceTransform((labels == 0).astype(np.uint8), cv2.DIST_L2, 5) > FAR * cell
    markers = np.where(certain, labels, np.where(far, unknown, 0)).astype(np.int32)
    if not markers.any():
        return labels
    # OpenCV marks the frame of a picture and the lines between basins with -1.
    framed, frame = cv2.copyMakeBorder(pixels, 1, 1, 1, 1, cv2.BORDER_REPLICATE), ((1, 1), (1, 1))
    found = cv2.watershed(framed, np.pad(markers, frame, mode="edge"))[1:-1, 1:-1].astype(np.int16)
    found = np.where(found > 0, found, cv2.dilate(found, np.ones((3, 3), np.uint8)))
    return np.where(found == unknown, 0, found).clip(0).astype(np.uint8)
