"""Metrics: confusion matrix, pixel accuracy, mean accuracy, mIoU, their rules and intervals, boundary F-score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from cliptrase_core.errors import InputError
from cliptrase_core.io.masks import IGNORED

BOUNDARY_TOLERANCE = 3 / 224
"""Tolerance of boundaries, as a share of the short side: three pixels of a CLIP input of 224 pixels."""

RESAMPLES = 1000
SEED = 2407
LEVEL = 95
"""Share of resamples within an interval, in per cent."""

SMOOTH = 0.01
"""Constant that the published script adds to denominators (quirk B6)."""

Labels = npt.NDArray[np.integer]
Matrix = npt.NDArray[np.int64]
Counts = npt.NDArray[np.float64]

Rule = Literal["published", "paper", "mmseg"]
"""Rule to compute figures from counts, see `figures`."""


def confusion_matrix(ground_truth: Labels, labels: Labels, classes: int) -> Matrix:
    """Count pixels by true class and predicted class. Matrices of several pictures can be added.

    Args:
        ground_truth: (H, W) ground truth, 0..C-1, or `IGNORED` for a pixel that does not count.
        labels: (H, W) prediction, 0..C-1, or `IGNORED` for a pixel with none of these classes.
        classes: C.

    Returns:
        (C, C+1) int64; rows are true classes, columns are predicted classes, the last column is "none of these".

    Raises:
        InputError: maps of different size, or classes out of range.
    """
    if ground_truth.shape != labels.shape or ground_truth.ndim != 2:
        raise InputError(
            "ground truth and labels",
            expected="two maps (H, W) of one size",
            got=f"{ground_truth.shape} and {labels.shape}",
            remedy="Resize the ground truth to the size of the labels.",
        )
    for name, values in (("ground truth", ground_truth), ("labels", labels)):
        if values.size and (values.min() < IGNORED or values.max() >= classes):
            raise InputError(
                name,
                expected=f"classes 0 to {classes - 1}, or {IGNORED}",
                got=f"{values.min()} to {values.max()}",
                remedy="Give each class its own number.",
            )
    counted = ground_truth != IGNORED
    given = np.where(labels == IGNORED, classes, labels)[counted].astype(np.int64)
    pairs = ground_truth[counted].astype(np.int64) * (classes + 1) + given
    return np.bincount(pairs, minlength=classes * (classes + 1)).reshape(classes, classes + 1)


@dataclass(frozen=True, eq=False)
class ClassCounts:
    """Numbers of pixels of each class.

    Attributes:
        hit: (..., C) pixels of the class with a correct prediction.
        true: (..., C) pixels of the class in the ground truth.
        given: (..., C) counted pixels with the class in the prediction.
    """

    hit: Counts
    true: Counts
    given: Counts

    def iou(self, smooth: float = 0.0) -> Counts:
        """Return the (..., C) intersection over union, NaN for a class in neither map."""
        return _ratio(self.hit, self.true + self.given - self.hit + smooth)

    def accuracy(self, smooth: float = 0.0) -> Counts:
        """Return the (..., C) share of correct pixels in each class, NaN for a class not in the ground truth."""
        return _ratio(self.hit, self.true + smooth)


def class_counts(matrix: Matrix) -> ClassCounts:
    """Return the counts (C,) of a confusion matrix (C, C+1)."""
    hit, true, given = np.diagonal(matrix), matrix.sum(axis=1), matrix[:, :-1].sum(axis=0)
    return ClassCounts(hit.astype(np.float64), true.astype(np.float64), given.astype(np.float64))


def class_iou(matrix: Matrix) -> Counts:
    """Return the intersection over union of each class: (C,) in [0, 1], NaN for a class that is in neither map."""
    return class_counts(matrix).iou()


def mean_iou(matrix: Matrix) -> float:
    """Return mean IoU over classes in the ground truth, the same ones for every prediction; NaN without classes."""
    known = class_iou(matrix)[matrix.sum(axis=1) > 0]
    return float(known.mean()) if len(known) else float("nan")


def pixel_accuracy(matrix: Matrix) -> float:
    """Return the share of counted pixels with the true class; NaN if no pixel counts."""
    counted = int(matrix.sum())
    return float(np.trace(matrix) / counted) if counted else float("nan")


def total(counts: ClassCounts) -> ClassCounts:
    """Return the sum of the counts over all pictures, (C,) each."""
    return ClassCounts(counts.hit.sum(0), counts.true.sum(0), counts.given.sum(0))


def figures(counts: ClassCounts, rule: Rule) -> dict[str, Counts]:
    """Compute the figures in per cent.

    `published`: 0.01 is added to denominators, and classes that are not in the ground truth add 0 to mAcc (quirk B6).
    `paper`: the same figures without these two. `mmseg`: mIoU also includes, as 0, classes that are only predicted.

    Args:
        counts: counts of a data set, (..., C) each.
        rule: one of the three rules.

    Returns:
        Figures (...) by name; NaN if no pixel counts.
    """
    smooth = SMOOTH if rule == "published" else 0.0
    iou, accuracy = counts.iou(smooth), counts.accuracy(smooth)
    present, pixels = counts.true > 0, counts.true.sum(-1, keepdims=True)
    right = _ratio(counts.hit.sum(-1), pixels[..., 0])
    if rule == "mmseg":
        return {"aAcc": 100 * right, "mAcc": 100 * _mean(accuracy, present), "mIoU": 100 * _mean(iou, ~np.isnan(iou))}
    everyone = np.ones_like(present) if rule == "published" else present
    weighted = np.where(present, _ratio(counts.true, pixels) * np.nan_to_num(iou), 0).sum(-1)
    return {
        "pAcc": 100 * right,
        "mAcc": 100 * _mean(accuracy, everyone),
        "fwIoU": 100 * np.where(np.isnan(right), np.nan, weighted),
        "mIoU": 100 * _mean(iou, present),
    }


def intervals(counts: ClassCounts, rule: Rule, extra: Mapping[str, Counts]) -> dict[str, tuple[float, float]]:
    """Compute intervals by bootstrap over pictures; deterministic for the same pictures in the same order.

    Args:
        counts: counts of each picture, (n, C) each.
        rule: see `figures`.
        extra: figures (n,) by name, whose mean is reported.

    Returns:
        (low, high) in per cent, from 0 to 100, by name. Empty if fewer than two pictures have pixels that count, since
        one picture gives no information about the variation between pictures.
    """
    if np.count_nonzero(counts.true.sum(-1)) < 2:
        return {}
    found = figures(total(counts), rule) | {name: value.mean() for name, value in extra.items()}
    resampled = resampled_figures(counts, rule, extra)
    bounds = {name: bounds_of(values, float(found[name])) for name, values in resampled.items()}
    return {name: (max(low, 0.0), min(high, 100.0)) for name, (low, high) in bounds.items()}


def bounds_of(values: Counts, estimate: float) -> tuple[float, float]:
    """Return the lower and upper bound of a figure, from its spread in resamples; they contain the estimate.

    The percentiles of the resamples are shifted so that their median is the estimate. Unshifted, they can exclude it: a
    resample draws only 63 % of the pictures and so lacks rare classes. These are mostly poor ones, so the mean over the
    others is too high in almost every resample. A shift by twice the bias (the basic bootstrap) excludes it on the
    other side. Coverage in a simulation is in docs/evaluation.md.

    Args:
        values: (R,) values of the figure, or of a difference, in resamples.
        estimate: its value on all pictures.
    """
    tail = (100 - LEVEL) / 2
    low, median, high = np.nanpercentile(values, (tail, 50, 100 - tail))
    return float(estimate - (median - low)), float(estimate + (high - median))


def resampled_figures(counts: ClassCounts, rule: Rule, extra: Mapping[str, Counts]) -> dict[str, Counts]:
    """Return the (R,) values of each figure in resamples of n pictures, by name; equal n gives equal resamples.

    Takes the arguments of `intervals`.
    """
    n = len(counts.hit)
    rng = np.random.default_rng(SEED)
    values: dict[str, list[Counts]] = {}
    for share in np.array_split(np.arange(RESAMPLES), 10):  # ten groups: all of ade847 would fill the memory
        weights = rng.multinomial(n, np.full(n, 1 / n), size=len(share)).astype(np.float64)  # (R, n)
        resampled = ClassCounts(weights @ counts.hit, weights @ counts.true, weights @ counts.given)
        found = figures(resampled, rule) | {name: (weights * value).sum(1) / n for name, value in extra.items()}
        for name, value in found.items():
            values.setdefault(name, []).append(value)
    return {name: np.concatenate(parts) for name, parts in values.items()}


def _ratio(part: Counts, whole: Counts) -> Counts:
    part, whole = np.broadcast_arrays(part, whole)
    out: Counts = np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)
    return out


def _mean(values: Counts, chosen: npt.NDArray[np.bool_]) -> Counts:
    """Return the mean of the chosen values over the last axis, NaN if none is chosen."""
    return _ratio(np.where(chosen, np.nan_to_num(values), 0).sum(-1), chosen.sum(-1).astype(np.float64))


def boundary_f(ground_truth: Labels, labels: Labels, tolerance: int | None = None) -> float:
    """Return the F-score of boundaries, from the precision and the recall of boundary pixels.

    Boundaries within the tolerance of a pixel that does not count are left out, since their correctness is unknown.

    Args:
        ground_truth: (H, W) ground truth, `IGNORED` for a pixel that does not count.
        labels: (H, W) prediction.
        tolerance: maximal offset in pixels, a diagonal step counts as one; None takes `BOUNDARY_TOLERANCE`.

    Returns:
        F-score in [0, 1]; 1 if neither map has a boundary.
    """
    reach = round(BOUNDARY_TOLERANCE * min(ground_truth.shape)) if tolerance is None else tolerance
    known = ~_grown(ground_truth == IGNORED, reach)
    wanted, given = _boundaries(ground_truth), _boundaries(labels)
    counted_wanted, counted_given = wanted & known, given & known
    if not counted_wanted.any() and not counted_given.any():
        return 1.0
    precision = (counted_given & _grown(wanted, reach)).sum() / max(1, counted_given.sum())
    recall = (counted_wanted & _grown(given, reach)).sum() / max(1, counted_wanted.sum())
    return float(2 * precision * recall / max(precision + recall, 1e-9))


def _boundaries(labels: Labels) -> npt.NDArray[np.bool_]:
    """Return a mask (H, W) of pixels whose right or lower neighbour has another class."""
    edge = np.zeros(labels.shape, bool)
    edge[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    edge[:-1] |= labels[:-1] != labels[1:]
    return edge


def _grown(mask: npt.NDArray[np.bool_], by: int) -> npt.NDArray[np.bool_]:
    """Return the mask (H, W), dilated by `by` pixels; a diagonal step counts as one."""
    side = 2 * by + 1
    return cv2.dilate(mask.astype(np.uint8), np.ones((side, side), np.uint8)).astype(bool)
