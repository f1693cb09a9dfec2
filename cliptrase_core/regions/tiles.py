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


_ROUNDING = 1e-5
"""Of the largest value: far more than what is lost in mixing in float32."""


@dataclass(frozen=True)
class _Span:
    """Consecutive pixels of one side of a picture, and the patches that they are interpolated from.

    Attributes:
        pixels: of the side.
        patches: that are mixed.
        weights: (pixels, patches), how much each pixel takes of each patch.
        ends: (E, patches), the same for places between which values are bilinear: the first pixel, the last, and
            centres of patches between them. There a map is largest and smallest within the span.
    """

    pixels: slice
    patches: slice
    weights: Maps
    ends: Maps


def largest_in_tiles(maps: Maps, size: Size, names: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """(H, W), name of the largest map at each pixel, that of the lowest index on ties.

    Args:
        maps: (C, h, w).
        size: (H, W).
        names: (C,).
    """
    out = np.empty(size, np.int32)
    bands, columns = _tiles((maps.shape[1], maps.shape[2]), size)
    for band in steps(bands):
        competing = _contenders(maps, band, columns)
        lines = band.weights @ maps[:, band.patches]  # (C, rows, w)
        for column, first, others in zip(columns, competing.argmax(axis=1), competing, strict=True):
            tile = out[band.pixels, column.pixels]
            tile[:] = names[first]
            indices = np.flatnonzero(others)[1:]
            if not len(indices):
                continue
            across = column.weights.T
            best = lines[first, :, column.patches] @ across
            for index in indices:
                values = lines[index, :, column.patches] @ across
                np.copyto(tile, names[index], where=values > best)
                np.maximum(best, values, out=best)
    return out


def _contenders(maps: Maps, band: _Span, columns: list[_Span]) -> npt.NDArray[np.bool_]:
    """(tiles of a band, C), which maps can be the largest somewhere: those not always below another's least value."""
    lines = band.ends @ maps[:, band.patches]  # (C, E, w)
    starts = np.cumsum([0, *(len(column.ends) for column in columns[:-1])])
    at_ends = np.concatenate([lines[:, :, column.patches] @ column.ends.T for column in columns], axis=2)
    best = np.maximum.reduceat(at_ends.max(axis=1), starts, axis=1)  # (C, tiles)
    worst = np.minimum.reduceat(at_ends.min(axis=1), starts, axis=1).max(axis=0)
    found: npt.NDArray[np.bool_] = (best >= worst - _ROUNDING * np.abs(at_ends).max()).T
    return found


def chosen_in_tiles(maps: Maps, chosen: npt.NDArray[np.integer[Any]]) -> Maps:
    """(H, W), interpolated value of the chosen map at each pixel.

    Args:
        maps: (C, h, w).
        chosen: (H, W), index of a map.
    """
    out = np.empty(chosen.shape, np.float32)
    bands, columns = _tiles((maps.shape[1], maps.shape[2]), (chosen.shape[0], chosen.shape[1]))
    for band in steps(bands):
        lines = band.weights @ maps[:, band.patches]  # (C, rows, w)
        for column in columns:
            labels, across = chosen[band.pixels, column.pixels], column.weights.T
            first, *others = np.flatnonzero(np.bincount(labels.ravel())).tolist()
            values = lines[first, :, column.patches] @ across
            for index in others:
                np.copyto(values, lines[index, :, column.patches] @ across, where=labels == index)
            out[band.pixels, column.pixels] = values
    return out


def _tiles(grid: Size, size: Size) -> tuple[list[_Span], list[_Span]]:
    """Bands of rows, and the columns that cut each of them into tiles."""
    side = max(LEAST_SIDE, round((size[0] * size[1] / TILES) ** 0.5))
    rows, columns = (list(_spans(source, target, side)) for source, target in zip(grid, size, strict=True))
    return rows, columns


def _spans(source: int, target: int, side: int) -> Iterator[_Span]:
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
        yield _Span(span, slice(low, high + 1), weights, np.concatenate([weights[[0, -1]], between]))
