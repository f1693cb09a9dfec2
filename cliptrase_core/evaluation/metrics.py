"""Metrics: confusion matrix, pixel accuracy, mean accuracy, mIoU, boundary F-score."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from cliptrase_core.errors import InputError, explain
from cliptrase_core.io.masks import IGNORED

BOUNDARY_TOLERANCE = 3 / 224
"""How far a boundary may be off, as a share of the short side: three pixels of what CLIP sees."""

Labels = npt.NDArray[np.integer]
Matrix = npt.NDArray[np.int64]


def confusion_matrix(truth: Labels, labels: Labels, classes: int) -> Matrix:
    """Count pixels by true and by given class; matrices of several pictures add up.

    Args:
        truth: (H, W), 0..C-1, or `IGNORED` where a pixel does not count.
        labels: (H, W), 0..C-1, or `IGNORED` where a pixel got none of these classes.
        classes: C.

    Returns:
        (C, C+1); rows are true classes, columns given ones, the last column is "none of these".

    Raises:
        InputError: maps of different size, or classes out of range.
    """
    if truth.shape != labels.shape or truth.ndim != 2:
        raise InputError(
            explain(
                "truth and labels",
                expected="two maps (H, W) of one size",
                got=f"{truth.shape} and {labels.shape}",
                remedy="Bring the truth to the size of the labels.",
            )
        )
    for name, values in (("truth", truth), ("labels", labels)):
        if values.size and (values.min() < IGNORED or values.max() >= classes):
            raise InputError(
                explain(
                    name,
                    expected=f"classes 0 to {classes - 1}, or {IGNORED}",
                    got=f"{values.min()} to {values.max()}",
                    remedy="Give each class its own number.",
                )
            )
    counted = truth != IGNORED
    given = np.where(labels == IGNORED, classes, labels)[counted].astype(np.int64)
    pairs = truth[counted].astype(np.int64) * (classes + 1) + given
    return np.bincount(pairs, minlength=classes * (classes + 1)).reshape(classes, classes + 1)


def class_iou(matrix: Matrix) -> npt.NDArray[np.float64]:
    """Intersection over union of each class: (C,) in [0, 1], NaN for a class that is in neither map."""
    hit = np.diagonal(matrix)
    union = matrix.sum(axis=1) + matrix[:, :-1].sum(axis=0) - hit
    iou: npt.NDArray[np.float64] = np.divide(hit, union, out=np.full(len(hit), np.nan), where=union > 0)
    return iou


def mean_iou(matrix: Matrix) -> float:
    """Mean over the classes that are in the truth, so that it is the same mean for all labels; NaN without any."""
    known = class_iou(matrix)[matrix.sum(axis=1) > 0]
    return float(known.mean()) if len(known) else float("nan")


def pixel_accuracy(matrix: Matrix) -> float:
    """Share of the counted pixels that got their true class; NaN when none counts."""
    total = int(matrix.sum())
    return float(np.trace(matrix) / total) if total else float("nan")


def boundary_f(truth: Labels, labels: Labels, tolerance: int | None = None) -> float:
    """F-score of boundaries: are they where the truth's are, and are all of the truth's there?

    Boundaries within reach of a pixel that does not count are left out, since nobody knows whether they are right.

    Args:
        truth: (H, W), `IGNORED` where a pixel does not count.
        labels: (H, W).
        tolerance: pixels that a boundary may be off, diagonal steps counting as one; None: `BOUNDARY_TOLERANCE`.

    Returns:
        0 to 1; 1 where neither map has a boundary.
    """
    reach = round(BOUNDARY_TOLERANCE * min(truth.shape)) if tolerance is None else tolerance
    known = ~_grown(truth == IGNORED, reach)
    wanted, given = _boundaries(truth), _boundaries(labels)
    counted_wanted, counted_given = wanted & known, given & known
    if not counted_wanted.any() and not counted_given.any():
        return 1.0
    precision = (counted_given & _grown(wanted, reach)).sum() / max(1, counted_given.sum())
    recall = (counted_wanted & _grown(given, reach)).sum() / max(1, counted_wanted.sum())
    return float(2 * precision * recall / max(precision + recall, 1e-9))


def _boundaries(labels: Labels) -> npt.NDArray[np.bool_]:
    """(H, W): pixels whose right or lower neighbour is of another class."""
    edge = np.zeros(labels.shape, bool)
    edge[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    edge[:-1] |= labels[:-1] != labels[1:]
    return edge


def _grown(mask: npt.NDArray[np.bool_], by: int) -> npt.NDArray[np.bool_]:
    """(H, W): everything within `by` pixels, diagonal steps counting as one."""
    side = 2 * by + 1
    return cv2.dilate(mask.astype(np.uint8), np.ones((side, side), np.uint8)).astype(bool)
