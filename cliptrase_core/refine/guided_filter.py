"""Boundaries that follow the edges of the picture, without any model.

Labels spread over superpixels first, see `superpixels`. Then comes a colour guided filter: in each neighbourhood, the
map of every class is replaced by the linear function of the colours that fits it best (K. He, J. Sun, X. Tang, Guided
Image Filtering, PAMI 2013; the subsampled form is arXiv 1505.00996). The function is evaluated at colours that are
averaged over a few pixels, because texture would leave specks and spikes. Each pixel then takes the class with the
largest filtered map.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import cv2
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch.nn import functional as F

from cliptrase_core.cancel import steps
from cliptrase_core.io.geometry import Size, between_samples, nearest, strips
from cliptrase_core.refine.superpixels import spread, superpixels

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.integer]

CELL = 16  # largest side of a patch in pixels while labels spread and maps are fitted, for any size of the picture
PARTS = 6  # superpixels for each patch
RADIUS = 12  # pixels: the filter places a boundary that superpixels have already moved
AVERAGED = 2  # pixels in each direction over which colours are averaged when a fit is evaluated
EPSILON = 1e-4  # variance of colours, in [0, 1], below which a neighbourhood counts as flat
_PAIRS = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))


def follow_edges(
    image: npt.NDArray[np.uint8],
    labels: Labels,
    confidence: Floats,
    grid: Size,
    step: Callable[[float], None] = lambda share: None,
) -> Labels:
    """Move the boundaries of a label map to the edges of the picture.

    Args:
        image: (H, W, 3).
        labels: (H, W).
        confidence: (H, W), 0..1, how certain each label is; NaN, as in results loaded without arrays, counts as 1.
        grid: (h, w) of the patches that the labels came from; gives the coarseness of the labels.
        step: progress callback (share in [0, 1]), called before each part of the work; an exception ends the work.

    Returns:
        (H, W), with no new classes.
    """
    present = np.flatnonzero(np.bincount(labels.ravel())).astype(labels.dtype)  # four times as fast as `np.unique`
    if len(present) == 1:
        return labels
    size = labels.shape
    scale = max(1.0, min(size[0] / grid[0], size[1] / grid[1]) / CELL)
    small_size = max(1, round(size[0] / scale)), max(1, round(size[1] / scale))
    small = np.asarray(Image.fromarray(image).resize(small_size[::-1], Image.Resampling.BOX))
    step(0.0)
    parts = superpixels(small, PARTS * grid[0] * grid[1])
    step(0.25)
    certainty = np.nan_to_num(nearest(confidence, small_size), nan=1.0)
    spread_out = spread(parts, np.searchsorted(present, nearest(labels, small_size)), certainty)
    fit = _Fit(_planes(small), _planes(_averaged(small, AVERAGED)))
    lines = []
    for index in steps(range(len(present))):
        step((1 + index / len(present)) / 2)
        lines.append(fit.line((spread_out == index).astype(np.float32)))
    if small_size == size:
        return _strongest(present, map(fit.values, lines))
    followed, averaged = np.empty_like(labels), _averaged(image, round(AVERAGED * scale))
    for rows in strips(size):
        guide = _planes(averaged[rows])
        followed[rows] = _strongest(present, (_apply(_enlarged(line, size, rows), guide) for line in lines))
    return followed


class _Fit:
    """Least-squares fit of maps to the three colours of one picture, in every neighbourhood."""

    def __init__(self, guide: Floats, averaged: Floats) -> None:
        """Precompute local means and inverse covariances of the guide, (3, H, W) in [0, 1]; keep the averaged guide."""
        self.guide, self.averaged = guide, averaged
        self.means = [_mean(plane) for plane in guide]
        covariance = np.empty((*guide.shape[1:], 3, 3), np.float32)
        for i, j in _PAIRS:
            both = _mean(guide[i] * guide[j]) - self.means[i] * self.means[j]
            covariance[..., i, j] = covariance[..., j, i] = both
        self.inverse = np.linalg.inv(covariance + EPSILON * np.eye(3, dtype=np.float32))

    def line(self, values: Floats) -> Floats:
        """Fit a map: (H, W) -> (4, H, W), the smoothed slope for each colour, and the offset."""
        mean = _mean(values)
        with_colour = [_mean(self.guide[c] * values) - self.means[c] * mean for c in range(3)]
        slope = np.einsum("hwij,jhw->ihw", self.inverse, np.stack(with_colour))
        offset = mean - sum(slope[c] * self.means[c] for c in range(3))
        return np.stack([_mean(plane) for plane in (*slope, offset)])

    def values(self, line: Floats) -> Floats:
        """Evaluate a fit at the averaged colours of the guide: (4, H, W) -> (H, W)."""
        return _apply(line, self.averaged)


def _averaged(image: npt.NDArray[np.uint8], radius: int) -> npt.NDArray[np.uint8]:
    side = 2 * radius + 1
    return np.asarray(cv2.blur(image, (side, side), borderType=cv2.BORDER_REPLICATE), np.uint8)


def _mean(values: Floats) -> Floats:
    side = 2 * RADIUS + 1
    return np.asarray(cv2.blur(values, (side, side), borderType=cv2.BORDER_REPLICATE), np.float32)


def _apply(line: Floats, guide: Floats) -> Floats:
    values: Floats = line[0] * guide[0]
    values += line[1] * guide[1]
    values += line[2] * guide[2]
    values += line[3]
    return values


def _planes(image: npt.NDArray[np.uint8]) -> Floats:
    """Convert (H, W, 3) uint8 to (3, H, W) float32 in [0, 1]."""
    planes: Floats = np.ascontiguousarray(image.transpose(2, 0, 1), np.float32) / np.float32(255)
    return planes


def _enlarged(line: Floats, size: tuple[int, ...], rows: slice) -> Floats:
    """Return some rows of maps (4, h, w) enlarged bilinearly to (H, W): (4, rows, W)."""
    above, below, weight = between_samples(line.shape[1], size[0], rows)
    share = weight[:, None]
    down = line[:, above] * (1 - share) + line[:, below] * share
    large: Floats = F.interpolate(torch.from_numpy(down)[None], (len(above), size[1]), mode="bilinear")[0].numpy()
    return large


def _strongest(present: Labels, maps: Iterable[Floats]) -> Labels:
    """Return the label with the largest map at each pixel; reads one map at a time, so that only two are in memory."""
    best: Floats | None = None
    for label, values in zip(present, maps, strict=True):
        if best is None:
            best, labels = values, np.full(values.shape, label, present.dtype)
            continue
        more = values > best
        labels[more], best[more] = label, values[more]
    return labels
