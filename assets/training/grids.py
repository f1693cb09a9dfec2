"""What was seen in the cells of a coarse grid over a photograph, and what that says of its pixels.

`grids.txt` holds one record a photograph: "# <set>/<name>", a legend ("w wall"), then a line for each row of the grid
with one letter a cell; a dot is a cell that is not known, mostly because an edge runs through it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

FILE = Path(__file__).with_name("grids.txt")
CERTAIN = 0.2  # of a cell: so far from another one its pixels are surely what the cell is
FAR = 0.9  # of a cell: pixels without a letter that are farther from one are left unknown


@dataclass(frozen=True, eq=False)
class Grid:
    """Words of a photograph's cells.

    Attributes:
        words: what was seen.
        cells: (rows, columns) of the whole photograph, uint8: 0 is not known, else 1 + place in `words`.
    """

    words: list[str]
    cells: np.ndarray


def read_grids(path: Path = FILE) -> dict[str, Grid]:
    """Grids by "<set>/<name>".

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
    """Bring what was seen in cells to pixels: between cells a watershed of the photograph's edges decides.

    Args:
        grid: of the whole photograph.
        pixels: (h, w, 3) uint8, a part of it.
        size: (height, width) of the whole photograph, in the same pixels.
        corner: (row, column) of the part.

    Returns:
        (h, w) uint8, 0 where not known, else 1 + place in the grid's words.
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
    # OpenCV leaves the frame of a picture and the lines between basins at -1.
    framed, frame = cv2.copyMakeBorder(pixels, 1, 1, 1, 1, cv2.BORDER_REPLICATE), ((1, 1), (1, 1))
    found = cv2.watershed(framed, np.pad(markers, frame, mode="edge"))[1:-1, 1:-1].astype(np.int16)
    found = np.where(found > 0, found, cv2.dilate(found, np.ones((3, 3), np.uint8)))
    return np.where(found == unknown, 0, found).clip(0).astype(np.uint8)
