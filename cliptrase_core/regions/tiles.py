"""Large pictures tile by tile: only maps that can win in a tile, or whose label is there, are interpolated.

A photograph of 12 megapixels has some 300 patches: over nearly all of a tile the same few classes compete. The results
are those of `decode`, but for the last bits of what is interpolated.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cliptrase_core.cancel import steps
from cliptrase_core.io.geometry import Size

TILES = 600
"""About as many are made of a picture: more cost calls, fewer hold more classes."""

LEAST_SIDE = 64

Maps = npt.NDArray[np.float32]


@dataclass(frozen=True)
class _Tile:
    """Part of a picture, and of the grid that it is interpolated from.

    Attributes:
        place: rows and columns of pixels.
        corners: rows and columns of patches that are mixed.
        down: (rows, patches), how much of each patch row a pixel row takes.
        across: (patches, columns), weights of the columns.
        ends: the same for the rows and columns between which values are bilinear: the first, the last, and centres of
            patches between them. There a map is largest and smallest within the tile.
    """

    place: tuple[slice, slice]
    corners: tuple[slice, slice]
    down: Maps
    across: Maps
    ends: tuple[Maps, Maps]

    def mixed(self, map_: Maps) -> Maps:
        """Values of a map (h, w) at the tile's pixels."""
        values: Maps = np.matmul(self.down @ map_[self.corners], self.across, dtype=np.float32)
        return values

    def contenders(self, maps: Maps) -> list[int]:
        """Maps (C, h, w) that can be the largest somewhere in the tile: not always below another's least value."""
        at_ends = self.ends[0] @ maps[:, self.corners[0], self.corners[1]] @ self.ends[1]
        best, worst = at_ends.max(axis=(1, 2)), at_ends.min(axis=(1, 2)).max()
        found: list[int] = np.flatnonzero(best >= worst - _ROUNDING * np.abs(at_ends).max()).tolist()
        return found


_ROUNDING = 1e-5
"""Of the largest value: far more than what is lost in mixing in float32."""


def largest_in_tiles(maps: Maps, size: Size, names: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """(H, W), name of the largest map at each pixel, that of the lowest index on ties.

    Args:
        maps: (C, h, w).
        size: (H, W).
        names: (C,).
    """
    out = np.empty(size, np.int32)
    for tile in _tiles((maps.shape[1], maps.shape[2]), size):
        first, *others = tile.contenders(maps)
        if not others:
            out[tile.place] = names[first]
            continue
        best, chosen = tile.mixed(maps[first]), np.full(out[tile.place].shape, names[first], np.int32)
        for index in others:
            values = tile.mixed(maps[index])
            np.copyto(chosen, names[index], where=values > best)
            np.maximum(best, values, out=best)
        out[tile.place] = chosen
    return out


def chosen_in_tiles(maps: Maps, chosen: npt.NDArray[np.integer[Any]]) -> Maps:
    """(H, W), interpolated value of the chosen map at each pixel.

    Args:
        maps: (C, h, w).
        chosen: (H, W), index of a map.
    """
    out = np.empty(chosen.shape, np.float32)
    for tile in _tiles((maps.shape[1], maps.shape[2]), (chosen.shape[0], chosen.shape[1])):
        labels = chosen[tile.place]
        first, *others = np.flatnonzero(np.bincount(labels.ravel())).tolist()
        values = tile.mixed(maps[first])
        for index in others:
            np.copyto(values, tile.mixed(maps[index]), where=labels == index)
        out[tile.place] = values
    return out


def _tiles(grid: Size, size: Size) -> Iterator[_Tile]:
    side = max(LEAST_SIDE, round((size[0] * size[1] / TILES) ** 0.5))
    rows, columns = (list(_spans(source, target, side)) for source, target in zip(grid, size, strict=True))
    for row, above, down, ends in steps(rows):
        for column, beside, across, ends_across in columns:
            yield _Tile((row, column), (above, beside), down, across.T, (ends, ends_across.T))


def _spans(source: int, target: int, side: int) -> Iterator[tuple[slice, slice, Maps, Maps]]:
    """Pixels of one side, the patches that they mix, how much they take of each, and the same at ends."""
    position = np.maximum((np.arange(target) + 0.5) * (source / target) - 0.5, 0)
    before = np.minimum(position.astype(np.int64), source - 1)
    after = np.minimum(before + 1, source - 1)
    share = (position - before).astype(np.float32)
    for start in range(0, target, side):
        span = slice(start, min(start + side, target))
        low, high = int(before[start]), int(after[span.stop - 1])
        weights = np.zeros((span.stop - start, high - low + 1), np.float32)
        pixels = np.arange(span.stop - start)
        weights[pixels, before[span] - low] += 1 - share[span]
        weights[pixels, after[span] - low] += share[span]
        between = np.eye(high - low + 1, dtype=np.float32)[1 : int(before[span.stop - 1]) - low + 1]
        yield span, slice(low, high + 1), weights, np.concatenate([weights[[0, -1]], between])
