"""Decoding of patch scores to pixel labels: upsample, choose the best, vote by region.

Pixels are computed in strips of rows, so that no (C, H, W) array is stored, and only classes that can win
somewhere in a strip are interpolated. Neither changes the result.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from cliptrase_core.cancel import steps
from cliptrase_core.io.geometry import Size, between_samples, strips
from cliptrase_core.maps import runs
from cliptrase_core.regions.tiles import Id, chosen_in_tiles, largest_in_tiles

STRIP_VALUES = 2_000_000
"""Interpolated scores stored at the same time: 8 MB in float32; more are no faster."""

WINDOWS_AT_ONCE = 150_000
"""Median windows stored at the same time: 29 MB in float32."""

TILED_PIXELS = 150_000
"""Larger pictures are processed tile by tile on a CPU. Pictures of the paper presets are smaller; their results equal
those of the published script to the last bit."""

MAP_ZOOM = 4
"""Region maps are smoothed at four times the grid (published code)."""

MEDIAN_SIZE = 7
"""Side of the median window at that zoom (published code)."""


def label_pixels(
    maps: Tensor, label_of: Tensor, size: Size, regions: npt.NDArray[np.integer[Any]] | None
) -> tuple[npt.NDArray[np.integer[Any]], Confidence]:
    """Return labels by the best prompt at each pixel and then by region vote, and the confidence of these labels.

    Args:
        maps: (P, h, w) logits of each prompt.
        label_of: (P,) int64, label of each prompt.
        size: (H, W) of the labels' frame.
        regions: (H, W), region of each pixel for the vote; None for no vote.

    Returns:
        (H, W) labels in uint8 or int32, and their confidence.
    """
    label_of = label_of.to(maps.device)
    count = int(label_of.max()) + 1
    ids = label_of.to(torch.uint8 if count <= 256 else torch.int32)  # uint8: a quarter of the memory
    labels = largest_at_pixels(maps, size, ids).cpu().numpy()
    if regions is not None:
        labels = vote(labels, regions, count)
    return labels, Confidence(label_probabilities(maps, label_of), labels)


class Confidence:
    """Confidence of each pixel's label, in [0, 1], computed on demand: `np.asarray` gives the map (H, W) in float32.

    It is the softmax over labels at each patch (the best prompt of each label counts), interpolated between patches.

    Attributes:
        shape: (H, W).
    """

    def __init__(self, probabilities: Tensor, labels: npt.NDArray[np.integer[Any]]) -> None:
        """Store the probabilities (C, h, w), to be interpolated, and the label (H, W) of each pixel."""
        self._probabilities, self._labels = probabilities, labels
        self.shape = labels.shape

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        with torch.inference_mode():
            chosen = torch.from_numpy(self._labels).to(self._probabilities.device)
            values = value_of_chosen(self._probabilities, chosen).clamp_(0, 1).float().cpu().numpy()
        return np.asarray(values, dtype)

    def sums(
        self,
        starts: npt.NDArray[np.intp],
        lengths: npt.NDArray[np.intp],
        labels: npt.NDArray[np.integer[Any]],
        count: int,
    ) -> npt.NDArray[np.float64]:
        """Return the sum of confidence of each label (count,), from runs of equal labels instead of single pixels."""
        maps = self._probabilities.detach().double().cpu()
        height, width = self.shape
        down = _mixing_matrix(maps.shape[1], height, maps).T.numpy()  # (H, h)
        across = _mixing_matrix(maps.shape[2], width, maps).numpy()  # (w, W)
        # Weights of patches, summed over all columns before each column: a run is the difference of two of these sums.
        before = np.concatenate([np.zeros((1, len(across))), across.T.cumsum(axis=0)])  # (W+1, w)
        order = np.argsort(labels, kind="stable")
        bounds = np.searchsorted(labels[order], np.arange(count + 1))
        sums = np.zeros(count)
        for label in np.flatnonzero(np.diff(bounds)).tolist():
            own = order[bounds[label] : bounds[label + 1]]
            lines = down @ maps[label].numpy()  # (H, w)
            above = np.concatenate([[0.0], (lines @ before[-1]).cumsum()])
            for ends, sign in ((starts[own] + lengths[own], 1), (starts[own], -1)):
                row, column = np.divmod(ends, width)
                within = np.einsum("rw,rw->r", lines[np.minimum(row, height - 1)], before[column])
                sums[label] += sign * (above[row] + within).sum()
        return sums


def label_probabilities(maps: Tensor, label_of: Tensor) -> Tensor:
    """Return the softmax over labels at each patch; the score of a label is that of its best prompt.

    Args:
        maps: (P, h, w) logits of each prompt.
        label_of: (P,) int64, label of each prompt, 0..C-1.

    Returns:
        (C, h, w), sums to 1 over labels.
    """
    scores = maps.new_full((int(label_of.max()) + 1, *maps.shape[1:]), -torch.inf)
    scores.scatter_reduce_(0, label_of[:, None, None].expand_as(maps), maps, "amax")
    return scores.softmax(dim=0)


def region_maps(means: Tensor, grid: Size) -> Tensor:
    """Return the cluster maps that decide the region of pixels: bilinear x4, then a 7x7 median with mirrored edges.

    Args:
        means: (K, N), mean row of each cluster.
        grid: (h, w).

    Returns:
        (K, 4h, 4w). Exact wherever two clusters compete; elsewhere close enough not to change the winner.
    """
    h, w = grid
    maps = F.interpolate(means.reshape(1, -1, h, w), scale_factor=MAP_ZOOM, mode="bilinear", align_corners=False)[0]
    return median_where_contested(maps)


def median_where_contested(maps: Tensor) -> Tensor:
    """Return the 7x7 median of each map, exact only where it can affect an argmax over bilinear mixes of the maps.

    The median of binned values is the bin of their median, so an 8-bit median gives the bin (of 256) of every median.
    Among four neighbours, a map whose largest bin is two below the smallest bin of another map loses every mix. Where
    a map wins no mix, it gets the middle of its bin, which compares correctly with every other bin.

    Args:
        maps: (K, H, W).

    Returns:
        (K, H, W).
    """
    bins, low, width = _median_bins(maps)
    four = np.ones((2, 2), np.uint8)  # a pixel is mixed from four neighbours, indexed here by the upper left one
    most = np.stack([cv2.dilate(plane, four, anchor=(0, 0)) for plane in bins])
    least = np.stack([cv2.erode(plane, four, anchor=(0, 0)) for plane in bins])
    # A whole bin between two medians is more than the rounding error of mixing.
    contender = most >= np.maximum(least.max(axis=0), 1) - 1
    open_cells = (contender & (contender.sum(axis=0) > 1)).view(np.uint8)
    contested = np.stack([cv2.dilate(plane, four, anchor=(1, 1)) for plane in open_cells]).view(np.bool_)
    windows = _mirror_pad(maps, MEDIAN_SIZE // 2).unfold(1, MEDIAN_SIZE, 1).unfold(2, MEDIAN_SIZE, 1)
    out = (torch.from_numpy(bins).to(maps.device, maps.dtype) + 0.5) * width + low
    cluster, row, column = torch.from_numpy(contested).to(maps.device).nonzero(as_tuple=True)
    places = torch.split(torch.arange(len(cluster), device=maps.device), WINDOWS_AT_ONCE)
    medians = [_medians(windows, (cluster[p], row[p], column[p])) for p in steps(places)]
    out[cluster, row, column] = torch.cat(medians) if medians else out.new_empty(0)
    return out


def _median_bins(maps: Tensor) -> tuple[npt.NDArray[np.uint8], float, float]:
    """Return the bin (of 256) of the 7x7 median of each map, (K, H, W), the lower end of the bins and their width."""
    values = maps.float().cpu().numpy()
    low, high = float(values.min()), float(values.max())
    info = np.finfo(np.float32)  # bins of fewer rounding steps could not be distinguished
    width = float(max((high - low) / 255, 16 * info.eps * max(abs(low), abs(high)), info.tiny))
    reach = MEDIAN_SIZE // 2
    bins = np.empty(values.shape, np.uint8)
    for plane, binned in zip(values, bins, strict=True):
        levels = np.minimum((plane - np.float32(low)) / np.float32(width), 255).astype(np.uint8)
        mirrored = cv2.copyMakeBorder(levels, reach, reach, reach, reach, cv2.BORDER_REFLECT)
        binned[:] = cv2.medianBlur(mirrored, MEDIAN_SIZE)[reach:-reach, reach:-reach]
    return bins, low, width


def _medians(windows: Tensor, at: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Return the median (M,) of selected windows (7, 7) of (K, H, W, 7, 7); on a CPU, NumPy takes a fifth of the time
    of torch."""
    middle = MEDIAN_SIZE**2 // 2
    if windows.device.type != "cpu" or windows.dtype != torch.float32:
        return windows[at].flatten(1).median(dim=1).values
    picked = windows.numpy()[tuple(place.numpy() for place in at)].reshape(-1, MEDIAN_SIZE**2)
    return torch.from_numpy(np.partition(picked, middle, axis=1)[:, middle].copy())


def _in_tiles(maps: Tensor, size: tuple[int, ...]) -> bool:
    """Return whether a picture is processed tile by tile."""
    return size[0] * size[1] > TILED_PIXELS and maps.device.type == "cpu" and maps.dtype == torch.float32


def largest_at_pixels(maps: Tensor, size: Size, ids: Tensor | None = None) -> Tensor:
    """Return the id of the largest map at each pixel; maps are interpolated bilinearly (align_corners=False).

    Args:
        maps: (C, h, w) scores.
        size: (H, W) of the output.
        ids: (C,) integers, one for each map; None takes the indices, in int32.

    Returns:
        (H, W) in the dtype of the ids; on ties the map of the lowest index.
    """
    ids = torch.arange(len(maps), dtype=torch.int32) if ids is None else ids
    if _in_tiles(maps, size):
        return torch.from_numpy(largest_in_tiles(maps.numpy(), size, ids.numpy()))
    ids = ids.to(maps.device)
    out = torch.empty(size, dtype=ids.dtype, device=maps.device)
    rows_at_once = max(1, STRIP_VALUES // (len(maps) * size[1]))
    across = _mixing_matrix(maps.shape[2], size[1], maps)  # a product is several times faster than a resize kernel
    for start in steps(range(0, size[0], rows_at_once)):
        rows = slice(start, min(start + rows_at_once, size[0]))
        above, below, weight = _samples(maps.shape[1], size[0], rows, maps)
        kept = _can_win(maps[:, int(above[0]) : int(below[-1]) + 1])
        mixed = torch.lerp(maps[kept][:, above], maps[kept][:, below], weight[:, None])  # (C', rows, w)
        mixed = mixed @ across  # (C', rows, W)
        out[rows] = ids[kept][mixed.max(dim=0).indices]
    return out


def value_of_chosen(maps: Tensor, chosen: Tensor) -> Tensor:
    """Return the interpolated value of the chosen map at each pixel; the others are not interpolated.

    Args:
        maps: (C, h, w).
        chosen: (H, W) int, index of a map at each pixel.

    Returns:
        (H, W), in the dtype of `maps`.
    """
    (height, width), (h, w) = chosen.shape, maps.shape[1:]
    if _in_tiles(maps, chosen.shape):
        return torch.from_numpy(chosen_in_tiles(maps.numpy(), chosen.numpy()))
    left, right, across = _samples(w, width, slice(0, width), maps)
    out = torch.empty(chosen.shape, dtype=maps.dtype, device=maps.device)
    for start in steps(range(0, height, max(1, STRIP_VALUES // (4 * width)))):
        rows = slice(start, min(start + max(1, STRIP_VALUES // (4 * width)), height))
        above, below, down = _samples(h, height, rows, maps)
        plane = chosen[rows].long() * (h * w)

        def at(row: Tensor, column: Tensor, plane: Tensor = plane) -> Tensor:
            return maps.take(plane + row[:, None] * w + column)

        top = torch.lerp(at(above, left), at(above, right), across)
        bottom = torch.lerp(at(below, left), at(below, right), across)
        out[rows] = torch.lerp(top, bottom, down[:, None])
    return out


def vote(labels: npt.NDArray[Id], regions: npt.NDArray[np.integer[Any]], classes: int) -> npt.NDArray[Id]:
    """Give every region its most frequent label, the lowest index on ties.

    Args:
        labels: (H, W), 0..classes-1.
        regions: (H, W), 0..K-1 everywhere (a region map covers every pixel).
        classes: number of labels.

    Returns:
        (H, W), in the dtype of the labels.
    """
    winner = count_votes(labels, regions, classes).argmax(axis=1).astype(labels.dtype)
    if regions.dtype == labels.dtype == np.uint8:
        return np.asarray(cv2.LUT(regions, np.resize(winner, 256)), labels.dtype)  # a fifth of the time of the loop
    voted = np.empty_like(labels)
    for rows in strips(labels.shape):
        np.take(winner, regions[rows], out=voted[rows], mode="clip")  # "raise" would make a copy
    return voted


def count_votes(
    labels: npt.NDArray[np.integer[Any]], regions: npt.NDArray[np.integer[Any]], classes: int
) -> npt.NDArray[np.int64]:
    """Count the pixels of each label in each region, (K, classes); arguments as in `vote`."""
    count = int(regions.max()) + 1
    votes = np.zeros(count * classes, dtype=np.int64)
    for rows in strips(labels.shape):
        _, lengths, region, label = runs(regions[rows], labels[rows])
        np.add.at(votes, region.astype(np.int64) * classes + label, lengths)
    return votes.reshape(count, classes)


def _can_win(maps: Tensor) -> Tensor:
    """Return the indices of maps that can be the largest somewhere between these grid rows.

    In a cell between four patches, a map whose best corner is below another's worst corner always loses.
    """
    padded = F.pad(maps[None], (0, 1, 0, 1), mode="replicate")
    best = F.max_pool2d(padded, 2, 1)[0]
    worst = -F.max_pool2d(-padded, 2, 1)[0]
    return (best >= worst.amax(dim=0)).flatten(1).any(dim=1).nonzero()[:, 0]


def _samples(source: int, target: int, rows: slice, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the two source places and the weight of the second for each target place along one side, as `like`."""
    above, below, weight = map(torch.from_numpy, between_samples(source, target, rows))
    return above.to(like.device), below.to(like.device), weight.to(like.device, like.dtype)


def _mixing_matrix(source: int, target: int, like: Tensor) -> Tensor:
    """Return the weight of each source column in each target column, (w, W) (align_corners=False)."""
    left, right, weight = _samples(source, target, slice(0, target), like)
    columns = torch.arange(target, device=like.device)
    matrix = like.new_zeros(source, target)
    matrix[left, columns] += 1 - weight
    matrix[right, columns] += weight
    return matrix


def _mirror_pad(maps: Tensor, reach: int) -> Tensor:
    """Pad by mirroring at the edge, edge pixel included (d c b a | a b c d | d c b a)."""
    for dim in (1, 2):
        indices = np.pad(np.arange(maps.shape[dim]), reach, "symmetric")
        maps = maps.index_select(dim, torch.from_numpy(indices).to(maps.device))
    return maps
