"""Decoding of large pictures tile by tile: only maps that can win, or are chosen, in a tile are interpolated.

A photograph of 12 megapixels has about 300 patches, so that only a few classes compete in most tiles. The results equal
those of `decode`, except for the last bits of interpolated values.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from cliptrase_core.cancel import steps
from cliptrase_core.io.geometry import Size, between_samples

TILES = 300
"""Approximate number of tiles per picture: more tiles need more calls, fewer tiles contain more classes each."""

LEAST_SIDE = 128
"""Smallest side of a tile in pixels: in smaller ones the calls take longer than the pixels."""

Maps = npt.NDArray[np.float32]
Id = TypeVar("Id", bound=np.integer[Any])


_ROUNDING = 1e-5
"""Tolerance relative to the largest value: far more than the rounding error of mixing in float32."""


@dataclass(frozen=True)
class _Span:
    """Consecutive pixels along one side of a picture, and the patches from which they are interpolated.

    Attributes:
        pixels: range of pixels along the side.
        patches: range of patches along the side that are mixed.
        weights: (pixels, patches), weight of each patch in each pixel.
        ends: (E, all patches of the side), weights at the first pixel, at the centres of the patches between, and at
            the last pixel; values are linear from each to the next.
    """

    pixels: slice
    patches: slice
    weights: Maps
    ends: Maps


def largest_in_tiles(maps: Maps, size: Size, ids: npt.NDArray[Id]) -> npt.NDArray[Id]:
    """Return the id of the largest map at each pixel, (H, W); on ties the map of the lowest index.

    Args:
        maps: (C, h, w).
        size: (H, W).
        ids: (C,), uint8 or int32.
    """
    out = np.empty(size, ids.dtype)
    bands, columns = _bands_and_columns((maps.shape[1], maps.shape[2]), size)
    for band in steps(bands):
        competing = _contenders(maps, band, columns)
        lines = band.weights @ maps[:, band.patches]  # (C, rows, w)
        for column, here in zip(columns, competing, strict=True):
            first, *others = np.flatnonzero(here).tolist()
            if not others:
                out[band.pixels, column.pixels] = ids[first]
                continue
            across = column.weights.T
            best = lines[first, :, column.patches] @ across
            tile = np.full(best.shape, ids[first])
            for index in others:
                values = lines[index, :, column.patches] @ across
                # Copy where the map is larger; `np.putmask` and `np.copyto` take longer.
                cv2.copyTo(np.full(best.shape, ids[index]), (values > best).view(np.uint8), tile)
                np.maximum(best, values, out=best)
            out[band.pixels, column.pixels] = tile
    return out


def _contenders(maps: Maps, band: _Span, columns: list[_Span]) -> npt.NDArray[np.bool_]:
    """Return which maps can be the largest somewhere in each tile of a band, (tiles, C).

    Between four ends a map is bilinear: a map whose best corner is below another's worst corner always loses.
    """
    across = np.concatenate([column.ends for column in columns]).T
    corners = (band.ends @ maps) @ across  # (C, E, ends of all columns)
    best = _of_four(np.maximum, corners)
    worst = _of_four(np.minimum, corners).max(axis=0)
    winning = (best >= worst - _ROUNDING * np.abs(corners).max()).any(axis=1)
    starts = np.cumsum([0, *(len(column.ends) for column in columns[:-1])])
    found: npt.NDArray[np.bool_] = np.logical_or.reduceat(winning, starts, axis=1).T
    return found


def _of_four(choose: np.ufunc, corners: Maps) -> Maps:
    """Reduce each four neighbours of values (C, E, F) with `choose` (maximum or minimum), to (C, E-1, F-1)."""
    rows = choose(corners[:, 1:], corners[:, :-1])
    four: Maps = choose(rows[:, :, 1:], rows[:, :, :-1])
    return four


def chosen_in_tiles(maps: Maps, chosen: npt.NDArray[np.integer[Any]]) -> Maps:
    """Return the interpolated value of the chosen map at each pixel, (H, W).

    Args:
        maps: (C, h, w).
        chosen: (H, W), uint8 or int32, index of a map.
    """
    out = np.empty(chosen.shape, np.float32)
    bands, columns = _bands_and_columns((maps.shape[1], maps.shape[2]), (chosen.shape[0], chosen.shape[1]))
    for band in steps(bands):
        lines = band.weights @ maps[:, band.patches]  # (C, rows, w)
        for column in columns:
            labels, across = chosen[band.pixels, column.pixels], column.weights.T
            first, *others = _present(labels)
            values = lines[first, :, column.patches] @ across
            for index in others:
                cv2.copyTo(lines[index, :, column.patches] @ across, (labels == index).view(np.uint8), values)
            out[band.pixels, column.pixels] = values
    return out


def _present(labels: npt.NDArray[np.integer[Any]]) -> list[int]:
    """Return the different values of a tile; most tiles have only one."""
    low, high, *_ = cv2.minMaxLoc(labels)
    return [int(low)] if low == high else np.flatnonzero(np.bincount(labels.ravel())).tolist()


@lru_cache(maxsize=16)  # called three times per picture; the pictures of a folder have only a few sizes
def _bands_and_columns(grid: Size, size: Size) -> tuple[list[_Span], list[_Span]]:
    """Return the bands of rows, and the columns that divide each band into tiles."""
    side = max(LEAST_SIDE, round((size[0] * size[1] / TILES) ** 0.5))
    rows, columns = (list(_spans(source, target, side)) for source, target in zip(grid, size, strict=True))
    return rows, columns


def _spans(source: int, target: int, side: int) -> Iterator[_Span]:
    before, after, share = between_samples(source, target, slice(0, target))
    for start in range(0, target, side):
        span = slice(start, min(start + side, target))
        weights = np.zeros((span.stop - start, source), np.float32)
        pixels = np.arange(span.stop - start)
        weights[pixels, before[span]] += 1 - share[span]
        weights[pixels, after[span]] += share[span]
        low, high = int(before[start]), int(before[span.stop - 1])
        between = np.eye(source, dtype=np.float32)[low + 1 : high + 1]
        patches = slice(low, int(after[span.stop - 1]) + 1)
        ends = np.concatenate([weights[:1], between, weights[-1:]])
        yield _Span(span, patches, np.ascontiguousarray(weights[:, patches]), ends)
